"""The colours of a drawn head, its hair's shape, and its light."""

from typing import Any

import numpy as np

from data.drawn.background import noise_plane
from data.drawn.geometry import Plane, Reflectance, between, bump
from data.drawn.geometry import smooth_ramp as ramp
from data.drawn.head import AROUND, DOWN, Face, Planes, brow, lids, mouth, surface
from data.drawn.shading import Light, exposed, highlight


def head(face: Face, unit: Planes) -> tuple[Planes, Planes]:
    """The head with its hair: positions and colours, three (DOWN, AROUND) each."""
    rng = np.random.Generator(np.random.PCG64(face.seed))
    x, y, z = unit
    strands = noise_plane(rng, (AROUND, DOWN), (90, 5), (AROUND, 24))
    mottle = noise_plane(rng, (AROUND, DOWN), 14, 40)
    hair = _hair(face, x, y + 0.05 * strands + between(rng, -0.25, 0.25) * x * (y < -0.2), z)
    shape = surface(face, x, y, z)
    thick = 1 + hair * face.volume * (1 + 0.15 * strands)
    positions = (shape[0] * thick, shape[1] * (1 + (thick - 1) * (y < 0)), shape[2] * thick)
    front = ramp(z, 0.05, 0.3)
    colours = [np.full((DOWN, AROUND), c, np.float32) * (1 + 0.035 * mottle) for c in face.skin]
    flush = 0.4 * bump((abs(x) - 0.5) / 0.2, (y - 0.3) / 0.18) + 0.3 * bump(x / 0.12, (y - 0.36) / 0.1)
    _mix(colours, (face.skin[0], face.skin[1] * 0.8, face.skin[2] * 0.78), flush * front)
    _features(colours, face, unit, front, strands, mottle)
    for plane, c in zip(colours, face.hair, strict=True):
        plane += hair * (c * (1 + 0.35 * strands) - plane)
    return (positions[0], positions[1], positions[2]), (colours[0], colours[1], colours[2])


def _features(colours: list[Plane], face: Face, unit: Planes, front: Plane, strands: Plane, mottle: Plane) -> None:
    x, y, _ = unit
    ax = abs(x)
    dark = tuple(0.35 * c for c in face.skin)
    # The sockets' and the nose's own shade, nostrils, the fold between nose and mouth.
    _mix(colours, dark, 0.22 * front * bump((ax - face.apart) / 0.24, (y + 0.06) / 0.08))
    _mix(colours, dark, 0.30 * front * bump(x / 0.22, (y - 0.51) / 0.03))
    _mix(colours, dark, 0.75 * front * bump((ax - 0.45 * face.nostril) / 0.05, (y - 0.468) / 0.022))
    cheek = abs(ax - face.nostril * 1.05 - 0.55 * (y - 0.40))
    _mix(colours, dark, 0.16 * front * bump(cheek / 0.03, (y - 0.52) / 0.11))
    if face.beard:
        _, above, below, _, _ = mouth(face, x)
        low = ramp(y + 0.25 * ax * ax, 0.50, 0.68) + 0.6 * bump(x / 0.3, (y - 0.53) / 0.05)
        low = np.minimum(low, 1) * (1 - 0.8 * bump(x / 0.3, (y - 0.5 * (above + below)) / 0.05))
        _mix(colours, face.hair, front * face.beard * 0.8 * low * (1 + 0.2 * mottle))
    _mouth(colours, face, x, y, front, dark)
    _eyes(colours, face, x, y, front, dark)
    _brows(colours, face, x, y, front, strands)
    if face.glasses:
        _glasses(colours, face, x, y, front)


def _mouth(colours: list[Plane], face: Face, x: Plane, y: Plane, front: Plane, dark: Reflectance) -> None:
    """Lips, their shadow, and what is seen between them."""
    upper, inner, lower, bottom, within = mouth(face, x)
    lips = ramp(y - upper, -0.012, 0.012) * ramp(bottom - y, -0.014, 0.014) * within * front
    _mix(colours, face.lip, lips)
    _mix(colours, dark, 0.45 * front * within * bump((y - 0.5 * (inner + lower)) / 0.018, 0))
    gap = ramp(y - inner, -0.008, 0.008) * ramp(lower - y, -0.008, 0.008) * within * front
    if face.open:
        _mix(colours, (0.12, 0.05, 0.05), gap)
        teeth = gap * ramp(inner + 0.055 - y, -0.01, 0.01) * (1 - ramp(abs(x) / face.mouth, 0.6, 0.8))
        _mix(colours, (0.80, 0.77, 0.72), teeth)


def _eyes(colours: list[Plane], face: Face, x: Plane, y: Plane, front: Plane, dark: Reflectance) -> None:
    """Both eyes, each from its own middle; s is -1 beside the nose and 1 outside."""
    ax = abs(x)
    s = (ax - face.apart) / face.eye
    side = np.where(x < 0, -1, 1).astype(np.float32)
    inside = np.clip(s, -1, 1)
    top, low = lids(face, inside)
    within = 1 - ramp(abs(s), 0.96, 1.06)
    white = ramp(y - top, -0.008, 0.010) * ramp(low - y, -0.010, 0.010) * within * front
    _mix(colours, (0.86, 0.84, 0.82), white)
    across = (ax - face.apart - side * face.gaze * 0.5 * face.eye) / 0.082
    down = (y + 0.012) / 0.082
    iris = 1 - ramp(across * across + down * down, 0.75, 1.15)
    _mix(colours, face.iris, white * iris)
    _mix(colours, (0.03, 0.03, 0.03), white * (1 - ramp(across * across + down * down, 0.12, 0.3)))
    glint = bump((ax - face.apart + side * 0.025) / 0.018, (y + 0.035) / 0.018)
    _mix(colours, (1.3, 1.3, 1.3), white * iris * glint)
    lash = (1 - ramp(abs(s), 1.0, 1.15)) * front
    _mix(colours, (0.08, 0.06, 0.05), 0.85 * lash * bump((y - top + 0.006) / 0.020, 0))
    _mix(colours, dark, 0.40 * lash * bump((y - low) / 0.016, 0))
    _mix(colours, dark, 0.35 * lash * bump((y - top + 0.05) / 0.018, 0))


def _brows(colours: list[Plane], face: Face, x: Plane, y: Plane, front: Plane, strands: Plane) -> None:
    t = (abs(x) - face.apart - 0.02) / 0.26
    over = brow(face, np.clip(t, -1.1, 1.1))
    thin = face.bushy * (1.15 - 0.35 * np.clip(t, -1, 1))
    hairy = (1 - ramp(abs(t), 0.92, 1.12)) * bump((y - over) / (1.5 * thin), 0) * front
    _mix(colours, tuple(0.75 * c for c in face.hair), np.minimum(0.95, 1.15 * hairy) * (1 + 0.1 * strands))


def _glasses(colours: list[Plane], face: Face, x: Plane, y: Plane, front: Plane) -> None:
    ax = abs(x)
    u, v = ((ax - face.apart) / 0.27) ** 2, ((y - 0.02) / 0.19) ** 2
    off = abs(u * u + v * v - 1)  # a rounded rectangle
    frame = np.maximum(bump(off / 0.35, 0), (ax < 0.16) * bump((y + 0.06) / 0.02, 0))
    frame = np.maximum(frame, (ax > face.apart + 0.26) * bump((y + 0.08) / 0.025, 0))
    _mix(colours, (0.06, 0.06, 0.07), 0.9 * frame * front)


def _hair(face: Face, x: Plane, y: Plane, z: Plane) -> Plane:
    """Where there is hair, 0 to 1."""
    over = ramp(face.hairline + 0.30 * x * x - y, -0.03, 0.05)
    edge = 0.30 + 0.14 * ramp(-y, 0.0, 0.3) - 0.5 * ramp(y, 0.15, 0.6)  # before the ears and behind the jaw
    beside = ramp(edge - z, 0.0, 0.14) * ramp(face.length - y, -0.05, 0.1)
    hair: Plane = np.maximum(over, beside * (1 if face.hairline > -1 else ramp(y, -0.45, -0.2)))
    return hair


def trunks(face: Face) -> list[tuple[Planes, Planes]]:
    """Neck and shoulders: positions and colours of each."""
    u, v = _patch(100, 90)
    under = 1 - 0.65 * (1 - ramp(v, 0.30, 0.9))  # the chin's shadow
    neck = (0.40 * u * (1 + 0.35 * v * v), 0.45 + 1.3 * v, 0.40 * _round(u) - 0.05), _plain(face.skin, under)
    u, v = _patch(320, 100)
    rng = np.random.Generator(np.random.PCG64(face.seed + 1))
    cloth = _plain(face.cloth, 1 + 0.2 * noise_plane(rng, (320, 100), (7, 2), (16, 4)))
    collar = 1 - ramp(abs(u) * 1.9 - 0.10 - 0.55 * (0.8 - v), 0.0, 0.05)
    collar *= v < 0.8
    for plane, c in zip(cloth, face.skin, strict=True):
        plane += collar * (0.8 * c - plane)
    fall = 0.25 * u * u + 0.35 * (u * u) * (u * u)
    return [neck, ((1.75 * u, 1.32 + fall + v, 0.30 + 0.16 * v - 0.35 * u * u), cloth)]


def hanging(face: Face) -> list[tuple[Planes, Planes]]:
    """Ears, and hair that falls behind them: positions and colours of each."""
    parts: list[tuple[Planes, Planes]] = []
    u, v = _patch(30, 50)
    for way in (-1, 1):
        bow = 2 * np.sqrt(np.maximum(v * (1 - v), 0))
        out = way * (face.wide * 0.95 + 0.10 * (1 - u * u) * bow)
        shade = 1 - 0.4 * bump(u / 0.45, (v - 0.4) / 0.25)
        red = (face.skin[0], 0.85 * face.skin[1], 0.85 * face.skin[2])
        parts.append(((out, -0.12 + 0.55 * v, 0.15 * u * bow), _plain(red, shade)))
    if face.length > 0.3 and face.hairline > -1:
        wide = face.wide * (1.05 + 0.8 * face.volume)
        u, v = _patch(160, 120)
        rng = np.random.Generator(np.random.PCG64(face.seed + 2))
        strands = noise_plane(rng, (160, 120), (40, 3), (70, 7))
        wide = wide * (0.7 + 0.3 * ramp(v, 0.0, 0.3)) * (1 - 0.35 * ramp(v, 0.75, 1.0))
        fall = (wide * u, -0.4 + (face.length + 0.55) * v, -0.35 + 0.3 * _round(u))
        parts.append((fall, _plain(face.hair, 0.85 + 0.3 * strands)))
    return parts


def _patch(across: int, down: int) -> tuple[Plane, Plane]:
    """Coordinates of a patch's vertices, (down, across): from -1 to 1 across and from 0 to 1 down."""
    u, v = np.linspace(-1, 1, across, dtype=np.float32), np.linspace(0, 1, down, dtype=np.float32)
    return u[None, :].repeat(down, 0), v[:, None].repeat(across, 1)


def _round(u: Plane) -> Plane:
    """A half circle's height."""
    height: Plane = np.sqrt(np.maximum(1 - u * u, 0))
    return height


def shaded(
    positions: Planes, colours: Planes, light: Light, towards: tuple[float, ...], viewer: tuple[float, ...]
) -> Any:
    """Colours under a light, uint8 (3, vertices).

    Positions and reflectances are three planes (rows, columns) each; unit vectors to the lamp and to the camera are in
    the vertices' frame, and the light's own direction is not used.
    """
    normal = _normals(positions, viewer)
    facing = normal[0] * towards[0] + normal[1] * towards[1] + normal[2] * towards[2]
    shine = highlight(normal, towards, viewer, floor=1e-6)
    lamp = np.maximum(facing * 0.85 + 0.15, 0)  # the light of a room reaches a little round the corner
    sky = 1 - 0.35 * normal[1]
    levels = []
    for c in range(3):
        ambient = lamp * light.lamp[c] + sky * (1.25 * light.ambient[c])
        levels.append(exposed(colours[c] * ambient + shine * (0.07 * light.lamp[c])).ravel())
    return np.stack(levels)


def _normals(positions: Planes, viewer: tuple[float, ...]) -> list[Plane]:
    """Unit normals on the viewer's side."""
    along = [_slope(plane, 1) for plane in positions]
    down = [_slope(plane, 0) for plane in positions]
    nx = along[1] * down[2] - along[2] * down[1]
    ny = along[2] * down[0] - along[0] * down[2]
    nz = along[0] * down[1] - along[1] * down[0]
    facing = nx * viewer[0] + ny * viewer[1] + nz * viewer[2]
    scale = np.where(facing < 0, -1, 1).astype(np.float32) / np.sqrt(nx * nx + ny * ny + nz * nz + 1e-12)
    return [nx * scale, ny * scale, nz * scale]


def _slope(plane: Plane, axis: int) -> Plane:
    """Differences of neighbours, as wide as the plane."""
    result: Plane = np.empty_like(plane)
    ahead, into = np.moveaxis(plane, axis, 0), np.moveaxis(result, axis, 0)
    into[1:-1] = ahead[2:] - ahead[:-2]
    into[0], into[-1] = 2 * (ahead[1] - ahead[0]), 2 * (ahead[-1] - ahead[-2])
    return result


def _plain(colour: Reflectance, shade: Plane) -> Planes:
    r, g, b = (np.asarray(shade * np.float32(c), dtype=np.float32) for c in colour)
    return r, g, b


def _mix(colours: list[Plane], paint: Reflectance, cover: Plane) -> None:
    """Lay paint over what is there, in place."""
    for plane, c in zip(colours, paint, strict=True):
        plane += cover * (np.float32(c) - plane)
