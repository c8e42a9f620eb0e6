"""The command line, a file for each group of commands."""

import os
import signal
import sys


def main() -> None:
    """Run the command; a signal ends it in one sentence and exit code 128 and the signal's number."""
    from search import signals

    signals.handle(signals.stop)
    # Read when torch is imported, here and in Ray's workers. OpenMP's threads wait for one another in a loop that takes
    # their cores: two threads beside other processes took 3.0 to 7.6 s where they now take 0.8 to 0.9.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        from search.cli import streams

        streams.guard()
        from search.cli.app import run  # a wrong word is answered before anything else is imported

        run()
    except signals.Stopped as stopped:
        print(f"stopped by {stopped.name}; the same command may be given again.", file=sys.stderr)
        sys.exit(signals.exit_code(stopped.name))
    finally:
        signals.handle(signal.SIG_DFL)  # what is left is Python's own end, and has nothing to say
