"""What the report prints, as plain values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Ablation:
    """One change to the network or its training, and what it did to the error.

    Attributes:
        name: of what was changed.
        change: how.
        mean: the error's change, in its unit; above 0 is worse.
        low: lower end of its interval; None where one pair of trainings has none.
        high: upper end.
        score: by what it multiplies the score; None where there is none.
    """

    name: str
    change: str
    mean: float
    low: float | None
    high: float | None
    score: float | None = None


@dataclass(frozen=True)
class Picture:
    """A drawing with what stands below it."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Content:
    """All that is printed; an empty one leaves its part out.

    Attributes:
        title: of the report.
        author: as given.
        date: as printed.
        study: the study's name and the trial's number, for the foot of the pages.
        summary: the result in a paragraph.
        formula: (Params [M], FLOPs [G], PixelDiff [px], score) as printed, where there is a score.
        result: a row for each reading: its name, this network's, the published design's; empty for none.
        architecture: the drawing (SVG).
        architecture_alt: the drawing in words.
        layers: a row a layer: name, type, output shape, Params, FLOPs M, FLOPs M+A.
        totals: Params, M, M+A.
        layers_note: what the rows and totals are.
        losses: curves of training and validation loss (SVG).
        losses_note: what they say.
        errors: curve of the error (SVG).
        rates: curve of the learning rate (SVG).
        pareto: the search as price against error, and what it says.
        importance: bars of what each parameter explains, and how to read them.
        seeds: a row a training, the chosen one first: seed, errors with averaged and with last weights, which counts.
        seeds_note: their mean and spread as a sentence.
        ablations: changes and what they did, the most harmful one first.
        ablation_figure: the same drawn, and how to read it.
        joints: bars of the error at each point (SVG).
        correct: PCK (SVG).
        accuracy: both in words.
        best: validation images with the smallest errors.
        worst: with the largest.
        commands: what makes all of this again, one after another.
        settings: names and values of the hyperparameters.
        origin: names and values of data, machine, versions, times.
        unit: of the errors.
    """

    title: str
    author: str
    date: str
    study: str
    summary: str
    formula: tuple[str, ...]
    result: tuple[tuple[str, str, str], ...]
    architecture: str
    architecture_alt: str
    layers: tuple[tuple[str, ...], ...]
    totals: tuple[str, ...]
    layers_note: str
    losses: str
    losses_note: str
    errors: str
    rates: str
    pareto: Picture
    importance: Picture
    seeds: tuple[tuple[str, ...], ...]
    seeds_note: str
    ablations: tuple[Ablation, ...]
    ablation_figure: Picture
    joints: str
    correct: str
    accuracy: str
    best: tuple[Picture, ...]
    worst: tuple[Picture, ...]
    commands: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    origin: tuple[tuple[str, str], ...]
    unit: str
