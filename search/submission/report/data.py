"""What the report prints, as plain values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Ablation:
    """One change to the network or its training, and what it did to the error."""

    name: str  # of what was changed
    change: str  # how
    mean: float  # the error's change, in its unit; above 0 is worse
    low: float | None  # lower end of its interval; None where one pair of trainings has none
    high: float | None  # upper end
    score: float | None = None  # by what it multiplies the score; None where there is none


@dataclass(frozen=True)
class Method:
    """A choice that was made, and what it is worth."""

    choice: str  # e.g. 'loss'
    used: str  # what was chosen
    why: str  # in a few words
    effect: str  # by what the error changes without it, as measured; a star where that is beyond seed noise


@dataclass(frozen=True)
class Loss:
    """What training descended."""

    name: str  # e.g. 'distance + 0.02 x divergence'
    # the parts whose formulas the template knows: 'distance', 'smooth_l1', 'mse', 'js', 'kl', 'teacher'
    terms: tuple[str, ...]
    weight: str  # of 'js' and 'kl'
    unit: str  # of the loss; empty where it is not known
    why: str  # a sentence; may be empty


@dataclass(frozen=True)
class Picture:
    """A drawing with what stands below it."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Content:
    """All that is printed; an empty one leaves its part out."""

    title: str  # of the report
    author: str  # as given
    date: str  # as printed
    study: str  # the study's name and the trial's number, for the foot of the pages
    summary: str  # the result in a paragraph
    formula: tuple[str, ...]  # (Params [M], FLOPs [G], PixelDiff [px], score) as printed, where there is a score
    # a row for each reading below one of headings: its name, this network's, that of the seeds' mean where there are
    # several, the published design's; empty for none
    result: tuple[tuple[str, ...], ...]
    comparison: str  # how far the published design's numbers can be compared; empty for none
    selection: str  # what was chosen among what, on which images
    data: tuple[tuple[str, str], ...]  # topic and sentence: source, split, preprocessing, test images
    architecture: str  # the drawing (SVG)
    architecture_alt: str  # the drawing in words
    architecture_note: str  # what stands below it
    layers: tuple[tuple[str, ...], ...]  # a row a layer: name, type, output shape, Params, multiplies, with adds
    totals: tuple[str, ...]  # Params, multiplies, multiplies and adds
    parameters: tuple[tuple[str, str], ...]  # trainable, non-trainable and deployed ones, and their size in MB
    layers_note: str  # what the rows and totals are
    losses: str  # curves of training and validation loss (SVG)
    losses_note: str  # what they are
    errors: str  # curves of the error on validation and on training images without augmentation (SVG)
    curves_text: tuple[str, ...]  # what they say, in paragraphs
    errors_note: str  # what the two smaller figures are
    rates: str  # curve of the learning rate (SVG)
    pareto: Picture  # the search as price against error, and what it says
    importance: Picture  # bars of what each parameter explains, and how to read them
    # a row a training, the chosen one first: seed, errors with averaged and with last weights, which counts
    seeds: tuple[tuple[str, ...], ...]
    loss: Loss  # with its formula
    methods: tuple[Method, ...]  # what was done for accuracy, a row a choice
    helped: tuple[str, ...]  # which choices helped, and how that was measured
    ablations: tuple[Ablation, ...]  # changes and what they did, the most harmful one first
    ablation_figure: Picture  # the same drawn, and how to read it
    joints: str  # bars of the error at each point (SVG)
    correct: str  # PCK (SVG)
    accuracy: str  # both in words
    best: tuple[Picture, ...]  # validation images with the smallest errors
    worst: tuple[Picture, ...]  # with the largest
    commands: tuple[str, ...]  # what makes all of this again, one after another
    alone: str  # how the notebook trains without them; empty where there is none
    settings: tuple[tuple[str, str], ...]  # names and values of the hyperparameters
    origin: tuple[tuple[str, str], ...]  # names and values of data, machine, versions, times
    unit: str  # of the errors
