"""Posed hands for drawn gestures: the bones of `data.drawn.skeleton` bent by given angles instead of random ones."""

from dataclasses import dataclass, replace

import numpy as np

from data.drawn.skeleton import (
    _ARCH,
    _REST,
    _SPLAY,
    BONE_RANGE,
    BONES,
    SCALE_RANGE,
    Array,
    Hand,
    between,
    cos_sin,
    turn,
    unit,
)

DIP = 0.6
"""The last joint follows the middle one by this ratio."""


@dataclass(frozen=True)
class Build:
    """One person's right hand.

    Attributes:
        lengths: (5, 4) of the bones in metres, a finger a row, base to tip.
        scale: relative to the mean hand.
    """

    lengths: Array
    scale: float


@dataclass(frozen=True)
class Posture:
    """Angles in degrees.

    Attributes:
        curls: of index to little finger, 0 straight to 1 closed.
        thumb: towards the thumb's side, out of the palm, and the flexion of its last two joints.
        spread: of the fingers, 0 to 1.
        sway: of the index finger towards the thumb.
        nod: of the index finger's first joint towards the palm.
    """

    curls: tuple[float, float, float, float]
    thumb: tuple[float, float, float, float]
    spread: float = 0.2
    sway: float = 0.0
    nod: float = 0.0


def build(rng: np.random.Generator) -> Build:
    """A random one."""
    scale = between(rng, *SCALE_RANGE)
    low, high = BONE_RANGE
    return Build(np.array(BONES) * scale * (low + (high - low) * rng.random((5, 4))), scale)


def posed(person: Build, posture: Posture) -> Hand:
    """The hand in its own frame: x to the thumb, y to the fingers, z out of the palm; the wrist is the origin."""
    joints, dorsal = np.zeros((21, 3)), np.zeros((21, 3))
    palm = np.array([0.0, 0.0, 1.0])
    dorsal[0] = -palm
    for finger in range(1, 5):
        first, lengths = 4 * finger + 1, person.lengths[finger]
        closed = posture.curls[finger - 1]
        c, s = cos_sin(_SPLAY[finger])
        knuckle = np.array([s * lengths[0], c * lengths[0], _ARCH[finger] * person.scale])
        aside = (0.0, 11.0, 1.0, -7.0, -13.0)[finger] * posture.spread * (1 - 0.85 * closed)
        index = finger == 1
        c, s = cos_sin(_REST[finger] + aside + posture.sway * index)
        bends = (-6 + 84 * closed + posture.nod * index, 4 + 98 * closed, DIP * (4 + 98 * closed))
        joints[first], dorsal[first] = knuckle, -palm
        _bend(joints, dorsal, first, np.array([s, c, 0.0]), palm, bends, lengths[1:])
    radial, palmar, middle, last = posture.thumb
    c, s = cos_sin(38.0)
    joints[1] = unit(np.array([s, c, 0.42])) * person.lengths[0, 0]
    (ca, sa), (cb, sb) = cos_sin(radial), cos_sin(palmar)
    along = np.array([sa * cb, ca * cb, sb])
    pad = np.array([-0.88, 0.0, 0.62 - 0.5 * sb])  # the pad looks to the little finger
    pad = unit(pad - along * float((pad * along).sum()))
    dorsal[1] = -pad
    _bend(joints, dorsal, 1, along, pad, (0.0, middle, last), person.lengths[0, 1:])
    hold = (joints[6] + joints[10] + joints[14] + joints[18]) * 0.25
    elbow = np.array([0.0, -0.30, 0.02])
    grip = np.stack([hold, unit(joints[5] - joints[17])])
    return Hand(joints, dorsal, np.eye(3), elbow, grip, person.scale, float(np.mean(posture.curls)))


def placed(hand: Hand, rotation: Array, at: Array) -> Hand:
    """The hand turned about its knuckles and moved, so that they come to `at`, metres in the camera's frame."""
    knuckle = turn(hand.joints[9:10], rotation)[0]
    move = at - knuckle
    return replace(
        hand,
        joints=turn(hand.joints, rotation) + move,
        dorsal=turn(hand.dorsal, rotation),
        axes=turn(hand.axes, rotation),
        elbow=turn(hand.elbow[None], rotation)[0] + move,
        grip=turn(hand.grip, rotation) + np.stack([move, np.zeros(3)]),
    )


def _bend(
    joints: Array, dorsal: Array, first: int, along: Array, inside: Array, bends: tuple[float, ...], lengths: Array
) -> None:
    """Fills in the three joints after `first`, each bone flexed by its angle towards `inside` from the one before."""
    flexion = 0.0
    for step, bend in enumerate(bends):
        flexion += bend
        c, s = cos_sin(flexion)
        joints[first + step + 1] = joints[first + step] + (along * c + inside * s) * lengths[step]
        dorsal[first + step + 1] = along * s - inside * c
