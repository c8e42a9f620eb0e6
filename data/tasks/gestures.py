"""Gestures as a task: frames of a hand in, a class out, judged by the log loss over folders of frames."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from data.drawn.gestures import GESTURES, SHARP
from data.layouts import gestures as layout
from data.layouts.gestures import Gesture
from data.layouts.groups import seen_twice
from data.layouts.problems import sentences
from data.storage.copies import Look, look_at, looks, merged
from data.storage.pack import Bytes, Part, Progress, Split, TestPart, cache_folder
from data.storage.splits import kept_folds
from data.task import BaseTask
from data.tasks import motion as moving
from data.tasks.gesture_crops import Margins
from data.tasks.gesture_pack import Packed, gestures, packed, training
from data.tasks.losses import pick
from data.transforms.augment import CONTEXT, LEVELS, GestureAugment, level

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PAIRS = (
    ("index finger held still", "index finger waved"),
    ("fist held still", "fist pushed forward"),
    ("숫자1", "부정(검지 흔들기)"),  # the competition's: the number 1, and no (a waved index finger)
    ("숫자 1", "부정(검지 흔들기)"),
    ("주먹쥐기", "경고(주먹 내밀기)"),  # a fist, and a warning (a fist pushed forward)
    ("rotation", "scale"),
    ("rotation", "translation"),
    ("scale", "translation"),
)
"""Pose names that one frame cannot always tell apart; those that a data set lacks do nothing."""
SMOOTHING = 0.1
"""Of the loss 'smooth'."""

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class TestFrames(TestPart):
    """The test frames; `targets` are -1, `ids` the names of F folders.

    Attributes:
        motions: float64 (F, 4), `data.tasks.motion.motions` of the folders.
    """

    motions: Array


@dataclass(frozen=True)
class Gestures(BaseTask):
    """Gestures from folders of frames with keypoints; see `data.layouts.gestures`.

    A sample is a frame, cut about the acting hand's keypoints; every folder has as many, evenly spaced. Folders are
    split into stratified folds (scikit-learn), and no folder, or no actor, is on both sides. The five networks of
    `dataclasses.replace(task, fold=0)` to 4 make an ensemble whose mean probabilities are the prediction.

    Attributes:
        group: what stays together: a 'folder', or an 'actor' with all folders.
        frames: how many frames of each folder are used, at least 1.
        margins: what is cut around the keypoints where nothing is random.
        side: of the packed images, `CONTEXT` times the largest input that they are sharp for, in pixels; of drawn
            gestures at most 160.
        pairs: pose names that motion is to tell apart; classes that agree in all else are pairs.
        motion: whether the last step reads motion; see `data.tasks.motion`.
    """

    group: Literal["folder", "actor"] = "folder"
    frames: int = 6
    margins: Margins = field(default_factory=Margins)
    side: int = 432
    pairs: tuple[tuple[str, str], ...] = PAIRS
    motion: bool = True

    context: ClassVar[float] = CONTEXT
    needs: ClassVar[str] = f"the folder that holds {layout.CSV} and train/"
    metric: ClassVar[str] = "log_loss"
    unit: ClassVar[str] = "nats"
    each_unit: ClassVar[str] = "nats"
    losses: ClassVar[tuple[str, ...]] = ("cross_entropy", "smooth")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.group not in ("folder", "actor") or self.frames < 1 or self.side < LEVELS[0]:
            raise ValueError(
                f"group must be 'folder' or 'actor', frames at least 1 and side at least {LEVELS[0]}, "
                f"not {self.group!r}, {self.frames}, {self.side}"
            )

    @property
    def gestures(self) -> tuple[Gesture, ...]:
        """The classes: the lines of hand_gesture_pose.csv, or the drawn ones, known before they are drawn."""
        return GESTURES if self.root is None else gestures(self.root)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""
        return layout.labels(self.gestures)

    @property
    def outputs(self) -> int:
        """How many classes there are."""
        return len(self.gestures)

    def prepare(self, progress: Progress | None = None) -> None:
        """Draw gestures where asked for, check the layout, cut out the training frames; see `DataSet.prepare`."""
        gestures.cache_clear()  # look at the files again
        training.cache_clear()
        pack = self._read(progress).pack
        pack.pixels(pack.side, progress)
        look_at((square.file for square in pack.items), progress)
        self._folders()

    def split(self, size: int) -> Split:
        """Both sides, at the pack's level for inputs of `size` pixels; prepares what is not yet there."""
        read = self._read()
        pixels = read.pack.pixels(level(size, read.pack.side, CONTEXT))

        def part(folders: Array) -> Part:
            rows = (folders[:, None] * self.frames + np.arange(self.frames)).ravel()
            return Part(pixels, rows, read.classes[rows // self.frames])

        train, valid = self._folders()
        return Split(part(train), part(valid))

    def augment(
        self, images: Tensor, targets: Tensor, size: int, how: GestureAugment, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """See `data.transforms.gestures.augment`."""
        from data.transforms.gestures import augment

        return augment(images, targets, size, how, self.margins, layout.partners(self.gestures), generator)

    def loss(self, net: Any, images: Tensor, targets: Tensor, how: Any) -> tuple[Tensor, Tensor]:
        """Cross-entropy over frames, and the class scores (B, classes).

        'smooth' is the same against a truth of which `SMOOTHING` is shared out among all classes (Szegedy et al. 2016).

        Raises:
            ValueError: the loss that `how` names is not known.
        """
        from torch.nn import functional

        smooth = SMOOTHING if pick(how.loss, self.losses) == "smooth" else 0.0
        logits = net.logits(images).float()
        return functional.cross_entropy(logits, targets, label_smoothing=smooth), logits

    def answer(self, net: Any, images: Tensor) -> Tensor:
        """Class scores (B, classes)."""
        scores: Tensor = net.logits(images)
        return scores

    def folder_probabilities(self, outputs: Array | Tensor, part: Part) -> Array:
        """The prediction for each folder, float64 (F, classes), in the order of the part's rows.

        The mean of its frames' softmax probabilities, and then the rules that read motion, fitted on this fold's
        training folders.

        Args:
            outputs: (n, classes) class scores of the part's frames.
            part: of `split` or of `test_part`.
        """
        folders, place = np.unique(part.rows // self.frames, return_inverse=True)
        sums = np.zeros((len(folders), self.outputs))
        np.add.at(sums, place, _softmax(outputs))
        probabilities: Array = sums / np.bincount(place)[:, None]
        moved = part.motions if isinstance(part, TestFrames) else self._read().motions
        return moving.apply(self.rules(), probabilities, moved[folders])

    def rules(self) -> tuple[moving.Rule, ...]:
        """The last step, fitted on this fold's training folders; none where `motion` is off or nothing helps."""
        if not self.motion:
            return ()
        return _rules(self, self.folder(), cache_folder())

    def error(self, outputs: Array, part: Part) -> float:
        """Log loss in nats: mean over folders of -ln of the true class's probability, clipped as scikit-learn does."""
        from sklearn.metrics import log_loss

        truth = self._read().classes[np.unique(part.rows // self.frames)]
        probabilities = self.folder_probabilities(outputs, part)
        return float(log_loss(truth, probabilities, labels=np.arange(self.outputs)))

    def errors(self, outputs: Array, part: Part) -> Array:
        """-ln of the true class's probability of each frame by itself, float64 (n, classes); NaN at other classes."""
        frames = _softmax(outputs)
        answer: Array = np.full(frames.shape, np.nan)
        each = np.arange(len(frames))
        answer[each, part.targets] = -np.log(frames[each, part.targets].clip(np.finfo(np.float64).eps))
        return answer

    def caption(self, output: Array, target: Array) -> str:
        """The likeliest class of a frame and the true one: 'fist (left) 91 %, true: fist (left)'."""
        probabilities = _softmax(np.asarray(output)[None])[0]
        best = int(probabilities.argmax())
        return f"{self.labels[best]} {100 * probabilities[best]:.0f} %, true: {self.labels[int(target)]}"

    def picture(self, row: int) -> Bytes:
        """The crop that a network sees of frame `row`, uint8 (H, H, 3)."""
        pack = self._read().pack
        inside = slice(edge := round(pack.side * (1 - 1 / CONTEXT) / 2), pack.side - edge)
        return np.asarray(pack.pixels(pack.side)[row, inside, inside])

    def notes(self) -> tuple[str, ...]:
        """See `DataSet.notes`."""
        read = self._read()
        return sentences((*read.problems, *seen_twice(self.folder(), self._seen(), read.unsized)))

    def identity(self) -> str:
        """A short name of the data, the split and all that changes the error; a search keeps to one."""
        options = (self.folds, self.fold, self.group, self.frames, self.margins, self.pairs, self.motion, self.seed)
        plain, joined = self._groups()
        copies = b"" if (joined == plain).all() else joined.tobytes()
        return hashlib.blake2b((self._read().stamp + repr(options)).encode() + copies, digest_size=10).hexdigest()

    def baseline(self) -> float:
        """Log loss on the validation folders of always answering the classes' shares of the training folders."""
        from sklearn.metrics import log_loss

        classes = self._read().classes
        train, valid = self._folders()
        shares = np.bincount(classes[train], minlength=self.outputs) / len(train)
        return float(log_loss(classes[valid], np.tile(shares, (len(valid), 1)), labels=np.arange(self.outputs)))

    def test_part(self, folder: Path, size: int) -> TestFrames:
        """The frames to predict, read now and at no other time.

        Args:
            folder: holds test/.
            size: of the network's input in pixels.

        Raises:
            UserError: for anything missing or wrong in test/.
        """
        clips = layout.read_clips(Path(folder).expanduser().absolute(), "test", self.gestures)
        read = packed(clips, self.frames, self.margins, self._side)
        pixels = read.pack.pixels(level(size, self._side, CONTEXT))
        rows = np.arange(len(pixels))
        return TestFrames(pixels, rows, np.full(len(rows), -1), read.ids, read.motions)

    def table(self, folder: Path, outputs: Sequence[Array], part: TestPart, like: Path | None = None) -> str:
        """The csv to hand in: the mean of what the networks of folds 0, 1, ... predict for each test folder.

        Args:
            folder: the data set's.
            outputs: for each fold its network's class scores (n, classes) of the part's frames.
            part: of `test_part`.
            like: the organiser's sample; None for the sample_submission.csv in `folder`.

        Raises:
            UserError: the sample cannot be read or does not fit.
        """
        each = [
            replace(self, fold=fold).folder_probabilities(output, part)
            for fold, output in zip(range(self.folds), outputs, strict=False)
        ]
        sample = Path(folder) / "sample_submission.csv" if like is None else like
        return layout.submission(np.mean(each, axis=0), part.ids, self.gestures, Path(sample))

    def _folders(self) -> tuple[Array, Array]:
        """Numbers of the folders to train on and of those to judge on, int64, ascending."""
        classes, groups = self._read().classes, self._groups()[1]
        self.enough(len(np.unique(groups)), "folders or actors")
        # Each folder counts `folds` times: scikit-learn refuses classes with fewer members than folds, and a class of
        # the competition has four folders.
        each, together = np.repeat(classes, self.folds), np.repeat(groups, self.folds)
        fold = kept_folds("StratifiedGroupKFold", self.folds, self.seed, together, each)[self.fold]
        train, valid = (np.unique(rows // self.folds) for rows in fold)
        return train, valid

    def _groups(self) -> tuple[Array, Array]:
        """What stays together, int64 (F,): folders or actors, and the same with those made one that share a frame."""
        read = self._read()
        names = read.actors if self.group == "actor" else np.arange(len(read.classes))
        groups = np.unique(names, return_inverse=True)[1].astype(np.int64)
        seen = self._seen()
        shown = [seen[square.file].pixels if square.file in seen else None for square in read.pack.items]
        return groups, merged(np.repeat(groups, self.frames), shown)[:: self.frames]

    def _seen(self) -> dict[str, Look]:
        """What the frames show; those of one colour, in which a camera failed, are left out."""
        seen = looks(square.file for square in self._read().pack.items)
        return {file: each for file, each in seen.items() if not each.plain}

    @property
    def _side(self) -> int:
        return self.side if self.root is not None else min(self.side, SHARP)

    def _read(self, progress: Progress | None = None) -> Packed:
        return training(self.folder(progress), cache_folder(), self.frames, self.margins, self._side)


def _softmax(outputs: Array | Tensor) -> Array:
    """Probabilities (n, classes), float64."""
    import torch

    return torch.as_tensor(outputs).detach().cpu().double().softmax(1).numpy()


@lru_cache(maxsize=8)
def _rules(task: Gestures, root: Path, cache: Path) -> tuple[moving.Rule, ...]:
    del root, cache  # others are another answer
    read, (train, _) = task._read(), task._folders()
    return moving.fit(read.motions[train], read.classes[train], layout.pairs(task.gestures, task.pairs))
