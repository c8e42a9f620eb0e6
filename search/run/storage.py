"""Opening Optuna's storage, with a sentence for what a user can get wrong."""

import optuna
import sqlalchemy.exc
from optuna.storages import BaseStorage

from data.errors import UserError

optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_storage(url: str) -> BaseStorage:
    """Optuna's storage at `url`.

    Raises:
        UserError: the URL is malformed, its driver is missing, or the database cannot be opened.
    """
    try:
        try:
            return optuna.storages.get_storage(url)
        except sqlalchemy.exc.OperationalError as error:
            if "already exists" not in str(error):
                raise
            return optuna.storages.get_storage(url)  # someone else, a dashboard perhaps, made the tables meanwhile
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise UserError(
            f"--storage {url!r} is no database URL ({first_line(error)}); e.g. sqlite:///study.db."
        ) from error
    except ImportError as error:
        raise UserError(f"--storage {url!r} needs a database driver that is not installed: {error}.") from error
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise UserError(f"the storage {url!r} cannot be opened: {first_line(error)}.") from error


def first_line(error: BaseException) -> str:
    """The first line of what an error says, without a full stop."""
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
