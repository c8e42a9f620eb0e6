"""Anatomy of a drawn hand: bones, joint limits, pose, view and camera, from the draws of one generator."""

import math
from dataclasses import dataclass, replace

import numpy as np

from data.drawn.geometry import Array, between, cos_sin, rotation, table, turn, unit

SIDE = 224  # side of the picture, pixels
FINGERS = ("thumb", "index", "middle", "ring", "little")
HAND_EDGES = tuple((0 if joint % 4 == 1 else joint - 1, joint) for joint in range(1, 21))
"""The 20 bones as (parent, child) joints in FreiHAND's order; bone b ends in joint b + 1."""

BONES = table(
    "0.036 0.040 0.034 0.028, 0.088 0.043 0.026 0.024, 0.086 0.048 0.030 0.025, 0.080 0.044 0.028 0.025,"
    "0.077 0.034 0.021 0.021"
)
"""Mean bone lengths in metres, a finger a row, base to tip (within 6 mm of the mean of real FreiHAND labels)."""
SCALE_RANGE = (0.88, 1.12)  # size of the whole hand relative to BONES: a child of twelve to a large man
BONE_RANGE = (0.94, 1.06)  # variation of one bone relative to its hand

LIMITS = {
    **dict(zip(("mcp", "abduction", "pip", "dip"), table("-18 88, -20 20, 0 106, 0 75"), strict=True)),
    **dict(zip(("radial", "palmar", "thumb_mcp", "thumb_ip"), table("4 66, 4 62, 0 52, 0 72"), strict=True)),
    **dict(zip(("wrist_flexion", "wrist_deviation"), table("-38 42, -14 22"), strict=True)),
}
"""Ranges of motion in degrees (active ranges of the AAOS tables, rounded inwards). Flexion is positive."""
DIP_RATIO = (0.45, 0.75)  # the last joint follows the middle one: DIP = ratio x PIP, about 2/3 in a living hand
_MEAN_DIP = 0.6

_SPLAY = (0.0, 13.5, 1.0, -11.0, -23.5)  # metacarpals in the plane of the palm, degrees towards the thumb
_PALM = np.array([0.0, 0.0, 1.0])  # the way it looks
_REST = (0.0, 5.0, 0.5, -4.0, -9.0)  # fingers at rest in the same plane
_SPREAD = (0.0, 11.0, 1.0, -7.0, -13.0)  # what is added when the hand is spread
_ARCH = (0.0, 0.000, -0.003, -0.001, 0.005)  # the palm's transverse arch, metres towards the palm


@dataclass(frozen=True)
class Hand:
    """A posed right hand, in metres."""

    joints: Array  # (21, 3), FreiHAND's order
    dorsal: Array  # (21, 3) unit vectors, for each joint the back of the bone that ends in it; row 0 is the palm's
    axes: Array  # (3, 3) rows: towards the thumb, towards the fingers, out of the palm
    elbow: Array  # (3,), where the forearm comes from
    grip: Array  # (2, 3), a point on the inside of the hand and the direction of a rod held there
    scale: float  # size relative to the mean hand
    curl: float  # 0 flat to 1 fist

    def moved(self, rotation: Array, move: Array) -> "Hand":
        """The hand turned about its origin and then moved, metres."""
        return replace(
            self,
            joints=turn(self.joints, rotation) + move,
            dorsal=turn(self.dorsal, rotation),
            axes=turn(self.axes, rotation),
            elbow=turn(self.elbow[None], rotation)[0] + move,
            grip=turn(self.grip, rotation) + np.stack([move, np.zeros(3)]),
        )


@dataclass(frozen=True)
class Build:
    """One person's right hand."""

    lengths: Array  # (5, 4) of the bones in metres, a finger a row, base to tip
    scale: float  # relative to the mean hand


@dataclass(frozen=True)
class Posture:
    """Angles in degrees."""

    curls: tuple[float, ...]  # of index to little finger, 0 straight to 1 closed
    thumb: tuple[float, ...]  # towards the thumb's side, out of the palm, and the flexion of its last two joints
    spread: float = 0.2  # of the fingers, 0 to 1
    sway: float = 0.0  # of the index finger towards the thumb
    nod: float = 0.0  # of the index finger's first joint towards the palm


def _limited(name: str, degrees: float) -> float:
    low, high = LIMITS[name]
    return min(max(degrees, low), high)


def _curls(rng: np.random.Generator) -> list[float]:
    """How far each finger is closed, 0 straight to 1 fist, as hands do it: together, in signs, or freely."""
    kind, base = float(rng.random()), float(rng.random())
    own = rng.random(4)
    slope = between(rng, -0.12, 0.22)  # the little finger leads in a relaxed or a gripping hand
    if kind < 0.28:  # open to relaxed
        return [0.34 * base + 0.14 * o + 0.5 * slope * k / 3 for k, o in enumerate(own.tolist())]
    if kind < 0.52:  # a sign: each finger out or in
        return [0.16 * base + 0.1 * o if o < 0.5 else 0.72 + 0.28 * o for o in own.tolist()]
    if kind < 0.78:  # free, neighbours alike
        return [0.95 * base + 0.35 * (o - 0.5) + slope * k / 3 for k, o in enumerate(own.tolist())]
    if kind < 0.93:  # round something
        return [0.42 + 0.24 * base + 0.1 * o + 0.5 * slope * k / 3 for k, o in enumerate(own.tolist())]
    return [0.85 + 0.15 * o for o in own.tolist()]  # fist


def _chain(base: Array, along: Array, inside: Array, bends: tuple[float, ...], lengths: Array) -> tuple[Array, Array]:
    """Joints (n + 1, 3) from a base on and the backs of the bones that end in them.

    The first bone points `along` before its flexion; each of the n bones is flexed towards `inside` by its bend,
    degrees, from the one before.
    """
    joints, backs, flexion = [base], [-inside], 0.0
    for bend, length in zip(bends, lengths, strict=True):
        flexion += bend
        c, s = cos_sin(flexion)
        joints.append(joints[-1] + (along * c + inside * s) * length)
        backs.append(along * s - inside * c)
    return np.stack(joints), np.stack(backs)


_Finger = tuple[Array, float, tuple[float, ...]]  # knuckle, heading in the palm's plane (degrees to the thumb), bends


def _with_fingers(lengths: Array, fingers: list[_Finger]) -> tuple[Array, Array]:
    """Joints (21, 3) and backs (21, 3) of a hand whose thumb is still to come."""
    joints, dorsal = np.zeros((21, 3)), np.zeros((21, 3))
    dorsal[0] = -_PALM
    for finger, (knuckle, heading, bends) in enumerate(fingers, 1):
        (c, s), chain = cos_sin(heading), slice(4 * finger + 1, 4 * finger + 5)
        along = np.array([s, c, 0.0])
        joints[chain], dorsal[chain] = _chain(knuckle, along, _PALM, bends, lengths[finger, 1:])
    return joints, dorsal


def _thumb_chain(lengths: Array, radial: float, palmar: float, mcp: float, ip: float) -> tuple[Array, Array]:
    """Thumb joints (4, 3) and the backs of its bones (4, 3)."""
    c, s = cos_sin(38.0)
    base = unit(np.array([s, c, 0.42])) * lengths[0]
    (ca, sa), (cb, sb) = cos_sin(radial), cos_sin(palmar)
    along = np.array([sa * cb, ca * cb, sb])
    # the pad looks to the little finger; the more the thumb leaves the palm, the more it turns over
    pad = np.array([-0.88, 0.0, 0.62 - 0.5 * sb])
    pad = unit(pad - along * float(pad[0] * along[0] + pad[1] * along[1] + pad[2] * along[2]))
    return _chain(base, along, pad, (0.0, mcp, ip), lengths[1:])


def _thumb(rng: np.random.Generator, lengths: Array, curl: float) -> tuple[Array, Array]:
    """A random thumb."""
    kind = float(rng.random()) + 0.35 * (curl - 0.4)
    if kind < 0.42:  # beside the hand, out or along
        radial, palmar = between(rng, 22, 66), between(rng, 5, 32)
        mcp, ip = between(rng, 0, 26), between(rng, 0, 28)
    elif kind < 0.75:  # opposed
        radial, palmar = between(rng, 22, 48), between(rng, 30, 62)
        mcp, ip = between(rng, 5, 38), between(rng, 0, 50)
    else:  # across the palm or the closed fingers
        radial, palmar = between(rng, 10, 36), between(rng, 34, 62)
        mcp, ip = between(rng, 15, 52), between(rng, 10, 72)
    radial, palmar = _limited("radial", radial), _limited("palmar", palmar)
    return _thumb_chain(lengths, radial, palmar, _limited("thumb_mcp", mcp), _limited("thumb_ip", ip))


def _clearance(thumb: Array, fingers: Array) -> float:
    """Least distance in metres of points on the thumb's last two bones from points on the fingers' bones."""
    ts = np.concatenate([thumb[1:], (thumb[1:3] + thumb[2:4]) * 0.5])
    gap = ts[:, None, :] - fingers[None, :, :]
    return math.sqrt(float((gap[..., 0] ** 2 + gap[..., 1] ** 2 + gap[..., 2] ** 2).min()))


def build(rng: np.random.Generator) -> Build:
    """A random one."""
    scale = between(rng, *SCALE_RANGE)
    low, high = BONE_RANGE
    return Build(np.array(BONES) * scale * (low + (high - low) * rng.random((5, 4))), scale)


def pose(rng: np.random.Generator) -> Hand:
    """A right hand of random build and pose in its own frame: x to the thumb, y to the fingers, z out of the palm."""
    person = build(rng)
    lengths, scale = person.lengths, person.scale
    curls = [min(max(c, 0.0), 1.0) for c in _curls(rng)]
    curl = (curls[0] + curls[1] + curls[2] + curls[3]) / 4
    spread, fingers = between(rng, -0.35, 1.0), list[_Finger]()
    for finger, closed in enumerate(curls, 1):
        c, s = cos_sin(_SPLAY[finger])
        rise = _ARCH[finger] * scale
        flat = math.sqrt(float(lengths[finger, 0]) ** 2 - rise * rise)
        aside = _SPREAD[finger] * spread + between(rng, -3, 3)
        aside = _limited("abduction", aside * (1 - 0.85 * closed))  # a flexed knuckle hardly spreads
        mcp = _limited("mcp", -12 + 92 * closed + between(rng, -14, 14))
        pip = _limited("pip", 2 + 100 * closed + between(rng, -12, 14))
        dip = _limited("dip", pip * between(rng, *DIP_RATIO))
        fingers.append((np.array([s * flat, c * flat, rise]), _REST[finger] + aside, (mcp, pip, dip)))
    joints, dorsal = _with_fingers(lengths, fingers)
    bones = np.concatenate([joints[5:], *((1 - t) * joints[5:20] + t * joints[6:21] for t in (0.33, 0.67))])
    best = -1.0
    for _ in range(5):  # a thumb through a finger is drawn again
        thumb, backs = _thumb(rng, lengths[0], curl)
        clear = _clearance(thumb, bones)
        if clear > best:
            best, joints[1:5], dorsal[1:5] = clear, thumb, backs
        if clear > 0.0155 * scale:
            break
    (cf, sf) = cos_sin(_limited("wrist_flexion", between(rng, -38, 42)))
    (cd, sd) = cos_sin(_limited("wrist_deviation", between(rng, -14, 22)))
    elbow = np.array([-sd * cf, -cd * cf, sf]) * 0.30
    hold = (joints[6] + joints[10] + joints[14] + joints[18]) * 0.125 + (joints[9] + joints[5]) * 0.25
    hold = hold + _PALM * (0.010 * scale)
    return Hand(joints, dorsal, np.eye(3), elbow, np.stack([hold, unit(joints[5] - joints[17])]), scale, curl)


def posed(person: Build, posture: Posture) -> Hand:
    """The hand in its own frame, as `pose` answers it, bent by the posture's angles; the wrist is the origin."""
    lengths, scale, fingers = person.lengths, person.scale, list[_Finger]()
    for finger, closed in enumerate(posture.curls, 1):
        c, s = cos_sin(_SPLAY[finger])
        knuckle = np.array([s * lengths[finger, 0], c * lengths[finger, 0], _ARCH[finger] * scale])
        heading = _REST[finger] + _SPREAD[finger] * posture.spread * (1 - 0.85 * closed) + posture.sway * (finger == 1)
        pip = 4 + 98 * closed
        fingers.append((knuckle, heading, (-6 + 84 * closed + posture.nod * (finger == 1), pip, _MEAN_DIP * pip)))
    joints, dorsal = _with_fingers(lengths, fingers)
    joints[1:5], dorsal[1:5] = _thumb_chain(lengths[0], *posture.thumb)
    hold = (joints[6] + joints[10] + joints[14] + joints[18]) * 0.25
    grip = np.stack([hold, unit(joints[5] - joints[17])])
    curl = float(np.mean(posture.curls))
    return Hand(joints, dorsal, np.eye(3), np.array([0.0, -0.30, 0.02]), grip, scale, curl)


def view(rng: np.random.Generator, difficulty: float) -> Array:
    """Rotation (3, 3) from the hand's frame to the camera's (x right, y down, z away).

    Either side of the hand faces the camera. The view leaves it by up to 12 degrees at difficulty 0 and 90 at 1, spread
    evenly over the sphere, and turns in the picture by up to 20 and 180 degrees: at 1 any rotation is equally likely.
    """
    turned = 180.0 if rng.random() < 0.5 else 0.0
    azimuth = between(rng, -180, 180)
    steepest, _ = cos_sin(12 + 78 * difficulty)
    cosine = between(rng, steepest, 1.0)
    roll = (20 + 160 * difficulty) * between(rng, -1, 1)
    sine = math.sqrt(1 - cosine * cosine)
    tilt = np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])
    r = rotation(1, turned)
    for step in (rotation(2, -azimuth), tilt, rotation(2, azimuth + roll)):
        r = turn(r.T, step).T
    r[1:] = -r[1:]
    return r


def place(rng: np.random.Generator, hand: Hand, difficulty: float) -> tuple[Hand, Array]:
    """Turns the hand before a camera, as FreiHAND crops it.

    Returns:
        The hand in the camera's frame, its joints on a grid of 1e-7 m, and K (3, 3) for the picture: focal length
        420 to 560 px, the joints' box 52 to 74 % of the side and within 8 px of the middle.
    """
    for _ in range(8):
        r = view(rng, difficulty)
        arm = turn(hand.elbow[None], r)[0]
        if arm[2] > -0.8 * 0.30:  # an elbow nearly between hand and lens would hide the hand
            break
    joints = turn(hand.joints, r)
    focal = round(between(rng, 420, 560), 4)
    span = between(rng, 0.52, 0.74) * SIDE
    low, high = joints.min(0), joints.max(0)
    middle = (low + high) * 0.5
    joints = joints - middle
    depth = focal * float(max(high[0] - low[0], high[1] - low[1])) / span
    for _ in range(2):  # perspective widens what is near
        uv = joints[:, :2] / (joints[:, 2:] + depth)
        depth = depth * focal * float(max(np.ptp(uv[:, 0]), np.ptp(uv[:, 1]))) / span
    uv = joints[:, :2] / (joints[:, 2:] + depth)
    shift = np.array([*((uv.min(0) + uv.max(0)) * -0.5 * depth), depth])
    joints = np.rint((joints + shift) * 1e7) / 1e7
    box = joints[:, :2] / joints[:, 2:]
    centre = (box.min(0) + box.max(0)) * 0.5 * focal
    cx = round((SIDE - 1) / 2 - float(centre[0]) + between(rng, -8, 8), 4)
    cy = round((SIDE - 1) / 2 - float(centre[1]) + between(rng, -8, 8), 4)
    k = np.array([[focal, 0.0, cx], [0.0, focal, cy], [0.0, 0.0, 1.0]])
    return replace(hand.moved(r, shift - middle), joints=joints), k
