"""Pixels and points against Pillow, numpy and painted dots."""

import numpy as np
import pytest
import torch
from PIL import Image

from data.transforms.affine import augment
from data.transforms.augment import LUMA, MEAN, STD, Augment, level
from data.transforms.warp import colour_matrix, inputs, reduce

ALL = Augment(rotate=40, scale=0.3, shift=0.1, flip=0.5, colour=0.4, erase=0.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth(count: int, side: int, channels: int = 3, seed: int = 0) -> torch.Tensor:
    """Images without detail finer than about six pixels."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, side // 8, side // 8, channels), dtype=np.uint8)
    grown = [
        [
            np.asarray(Image.fromarray(image[..., c]).resize((side, side), Image.Resampling.BICUBIC))
            for c in range(channels)
        ]
        for image in coarse
    ]
    return torch.from_numpy(np.stack([np.stack(planes, -1) for planes in grown]))


def bytes_of(values: torch.Tensor) -> np.ndarray:
    """Inputs (B, C, S, S) back to 0..255, (B, S, S, C)."""
    return ((values * STD + MEAN) * 255).permute(0, 2, 3, 1).numpy()


def blobs(points: np.ndarray, side: int, sigma: float) -> torch.Tensor:
    """One bright Gaussian dot an image on dark ground, at points (B, 2) given as fractions of the side."""
    middle = points * side - 0.5
    x, y = (np.arange(side) - middle[:, axis, None] for axis in (0, 1))
    dots = 220 * np.exp(-(x[:, None, :] ** 2 + y[:, :, None] ** 2) / (2 * sigma**2))
    return torch.from_numpy(np.repeat(dots.round().astype(np.uint8)[..., None], 3, -1))


@pytest.mark.parametrize("size", [64, 96, 112, 160, 200, 224])
def test_inputs_agree_with_pillow_resize(size: int) -> None:
    images = smooth(4, 224)
    got = bytes_of(inputs(images, size))
    for image, ours in zip(images.numpy(), got, strict=True):
        theirs = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)).astype(float)
        difference = np.abs(ours - theirs)
        assert difference.mean() < 1.5  # of 255; the mipmap is a little softer than one triangle filter
        assert difference.max() < 16


@pytest.mark.parametrize("side", [56, 80, 112, 160])
def test_levels_agree_with_pillow(side: int) -> None:
    images = smooth(3, 224)
    for image, ours in zip(images.numpy(), reduce(images, side).numpy(), strict=True):
        theirs = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))
        difference = np.abs(ours.astype(int) - theirs)  # both round twice, with weights of few bits
        assert difference.max() <= 2
        assert difference.mean() < 0.1


def test_level_is_the_smallest_that_suffices() -> None:
    assert [level(size) for size in (32, 56, 57, 96, 112, 128, 160, 161, 224, 256)] == [
        56, 56, 80, 112, 112, 160, 160, 224, 224, 224,
    ]  # fmt: skip
    assert level(200, base=256) == 224
    assert level(240, base=256) == 256


def test_no_change_is_the_input_itself() -> None:
    images, points = smooth(5, 112), torch.rand(5, 21, 2, generator=generator())
    changed, moved = augment(images, points, 96, Augment(), generator())
    torch.testing.assert_close(changed, inputs(images, 96), atol=1e-5, rtol=0)
    torch.testing.assert_close(moved, points, atol=1e-6, rtol=0)


def test_whole_images_and_their_level_give_the_same() -> None:
    images, points = smooth(6, 224), torch.rand(6, 21, 2)
    whole = augment(images, points, 96, ALL, generator(3))
    packed = augment(reduce(images, 112), points, 96, ALL, generator(3))
    torch.testing.assert_close(whole[0], packed[0])
    torch.testing.assert_close(inputs(images, 96), inputs(reduce(images, 112), 96))


@pytest.mark.parametrize(("side", "size"), [(224, 224), (112, 96), (160, 128), (56, 40)])
def test_painted_dots_lie_at_the_moved_points(side: int, size: int) -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(0.3, 0.7, (64, 2))
    images = blobs(points, side, sigma=side / 50)
    changed, moved = augment(images, torch.from_numpy(points)[:, None], size, ALL, generator(5))
    ground = changed.amin((2, 3), keepdim=True)
    weight = (changed - ground).mean(1).double().numpy()
    weight[weight < 0.02 * weight.max((1, 2), keepdims=True)] = 0
    centres = (np.arange(size) + 0.5) / size
    total = weight.sum((1, 2))
    found = np.stack([(weight.sum(1) * centres).sum(1), (weight.sum(2) * centres).sum(1)], -1) / total[:, None]
    expected = moved[:, 0].numpy()
    inside = ((expected > 0.1) & (expected < 0.9)).all(1)
    assert inside.sum() > 50
    assert np.abs(expected - points).max() > 0.2  # they did move
    assert 224 * np.linalg.norm(found - expected, axis=1)[inside].max() < 0.3


def test_pixels_agree_with_pillow_under_the_points_own_map() -> None:
    """The map is solved from three moved points, and Pillow moves the pixels by it."""
    side, count = 112, 12
    images = smooth(count, side)
    corners = torch.tensor([[0.2, 0.3], [0.8, 0.4], [0.5, 0.9]]).expand(count, 3, 2)
    how = Augment(rotate=180, scale=0.2, shift=0.15, flip=0.5)
    changed, moved = augment(images, corners, side, how, generator(2))
    agreed = 0
    for image, ours, new in zip(images.numpy(), bytes_of(changed), moved.double().numpy(), strict=True):
        to = np.column_stack([new * side, np.ones(3)])  # Pillow's coordinates: edges at whole numbers, too
        back = np.linalg.solve(to, corners[0].double().numpy() * side).T.ravel()
        picture = Image.fromarray(image)
        theirs = picture.transform((side, side), Image.Transform.AFFINE, tuple(back), Image.Resampling.BILINEAR)
        whole = Image.new("L", (side, side), 255)
        known = np.asarray(whole.transform((side, side), Image.Transform.AFFINE, tuple(back), Image.Resampling.NEAREST))
        inner = known > 0
        inner &= np.roll(inner, 2, 0) & np.roll(inner, -2, 0) & np.roll(inner, 2, 1) & np.roll(inner, -2, 1)
        assert np.abs(ours - np.asarray(theirs).astype(float))[inner].max() < 2.5
        agreed += inner.sum()
    assert agreed > 0.5 * count * side * side


def test_flip_mirrors_pixels_and_points() -> None:
    images, points = smooth(4, 80), torch.rand(4, 5, 2)
    changed, moved = augment(images, points, 80, Augment(flip=1.0), generator())
    torch.testing.assert_close(changed, inputs(images.flip(2), 80), atol=2e-4, rtol=0)
    torch.testing.assert_close(moved[..., 0], 1 - points[..., 0])
    torch.testing.assert_close(moved[..., 1], points[..., 1])


def test_ranges_are_kept_and_used() -> None:
    count = 4000
    frame = torch.tensor([[0.5, 0.5], [1.0, 0.5], [0.5, 1.0]]).expand(count, 3, 2)
    how = Augment(rotate=30, scale=0.25, shift=0.1, flip=0.3)
    _, moved = augment(torch.zeros(count, 56, 56, 1, dtype=torch.uint8), frame, 8, how, generator(7))
    origin, right, down = moved.double().numpy().transpose(1, 0, 2)
    x_axis, y_axis = right - origin, down - origin
    factor = np.linalg.norm(x_axis, axis=1) * 2
    mirrored = x_axis[:, 0] * y_axis[:, 1] < x_axis[:, 1] * y_axis[:, 0]
    angle = np.degrees(np.arctan2(-y_axis[:, 0], y_axis[:, 1]))
    for values, low, high in (
        (factor, 0.75, 1.25),
        (angle, -30, 30),
        (origin[:, 0], 0.4, 0.6),
        (origin[:, 1], 0.4, 0.6),
    ):
        span = high - low
        assert low - 1e-5 <= values.min() < low + 0.02 * span
        assert high - 0.02 * span < values.max() <= high + 1e-5
        assert abs(values.mean() - (low + high) / 2) < 0.03 * span
    assert abs(mirrored.mean() - 0.3) < 0.03
    assert abs(np.corrcoef(factor, angle)[0, 1]) < 0.06


def test_shrinking_by_the_scale_is_antialiased(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fine detail of the whole image, shrunk through a level, against one ideal reduction by Pillow."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (224, 224, 3), dtype=np.uint8)
    images = torch.from_numpy(noise)[None].repeat(60, 1, 1, 1)
    frame = torch.tensor([[0.0, 0.5], [1.0, 0.5]]).expand(60, 2, 2)
    how, size = Augment(scale=0.4), 64
    filtered, moved = augment(images, frame, size, how, generator(4))
    monkeypatch.setattr("data.transforms.warp._SHARP", float("inf"))
    bare, _ = augment(images, frame, size, how, generator(4))

    factors = (moved[:, 1, 0] - moved[:, 0, 0]).double().numpy()
    wide = Image.fromarray(np.pad(noise, ((112, 112), (112, 112), (0, 0)), mode="edge"))
    inner = np.s_[size // 4 : -size // 4, size // 4 : -size // 4]
    errors = []
    for factor, ours, plain in zip(factors, bytes_of(filtered), bytes_of(bare), strict=True):
        half = 112 / factor
        box = (224 - half, 224 - half, 224 + half, 224 + half)
        ideal = np.asarray(wide.resize((size, size), Image.Resampling.BILINEAR, box)).astype(float)
        errors.append([(image[inner] - ideal[inner]).std() / ideal[inner].std() for image in (ours, plain)])
    small = factors < 0.7
    assert small.sum() >= 3
    with_filter, without = np.array(errors)[small].T
    assert (with_filter < 0.35).all()
    assert (with_filter < 0.8 * without).all()


def test_colours_are_brightness_contrast_and_saturation_in_turn() -> None:
    change = torch.tensor([[0.3, -0.2, 0.4], [-0.4, 0.1, -0.9], [0.0, 0.0, 0.0]])
    matrix, bias = colour_matrix(change, 3)
    pixel = np.array([200.0, 90.0, 30.0])
    for row, (bright, contrast, saturation) in enumerate(1 + change.double().numpy()):
        value = pixel / 255 * bright
        grey = (value * LUMA).sum()
        value = grey + saturation * (value - grey)
        value = MEAN + contrast * (value - MEAN)
        ours = matrix[row].double().numpy() @ pixel + bias[row, :, 0].double().numpy()
        np.testing.assert_allclose(ours, (value - MEAN) / STD, atol=1e-5)


def test_erasing_covers_one_rectangle_with_one_colour() -> None:
    images = torch.full((400, 56, 56, 3), 100, dtype=torch.uint8)
    plain = inputs(images[:1], 50)[0, 0, 0, 0]
    changed, _ = augment(images, torch.rand(400, 1, 2), 50, Augment(erase=0.5), generator(9))
    covered = (changed - plain).abs().amax(1) > 1e-4
    struck = covered.flatten(1).any(1)
    assert 0.4 < struck.float().mean() < 0.6
    sides = []
    for image, mask in zip(changed[struck], covered[struck], strict=True):
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        assert mask.sum() == len(rows) * len(columns) == (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
        assert (image[:, mask] == image[:, mask][:, :1]).all()
        sides += [len(rows), len(columns)]
    assert max(sides) <= 21  # four tenths of 50, and one for its place between pixels
    assert (
        len({tuple(image[:, mask][:, 0].tolist()) for image, mask in zip(changed, covered, strict=True) if mask.any()})
        > 150
    )


def test_the_generator_is_the_only_source() -> None:
    images, points = smooth(9, 80), torch.rand(9, 21, 2)
    first = augment(images, points, 64, ALL, generator(1))
    torch.manual_seed(99)
    again = augment(images, points, 64, ALL, generator(1))
    other = augment(images, points, 64, ALL, generator(2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])
    coloured = augment(images, points, 64, Augment(40, 0.3, 0.1, 0.5, 0.0, 1.0), generator(1))
    assert torch.equal(first[1], coloured[1])


def test_pieces_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    images, points = smooth(7, 80), torch.rand(7, 21, 2)
    how = Augment(40, 0.5, 0.1, 0.5, 0.4, 0.5)
    whole = augment(images, points, 64, how, generator(1))
    monkeypatch.setattr("data.transforms.warp._PIECE", 3 * 80 * 80 * 3)
    torch.testing.assert_close(augment(images, points, 64, how, generator(1)), whole)


def test_mixed_precision_does_not_reach_the_geometry() -> None:
    images, points = smooth(4, 112), torch.rand(4, 21, 2)
    plain = augment(images, points, 96, ALL, generator(1))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = augment(images, points, 96, ALL, generator(1))
    assert mixed[0].dtype == torch.float32
    assert torch.equal(plain[0], mixed[0])
    assert torch.equal(plain[1], mixed[1])


@pytest.mark.parametrize(("channels", "points"), [(1, 68), (4, 1), (2, 17)])
def test_any_number_of_channels_and_points(channels: int, points: int) -> None:
    how = Augment(20, 0.2, 0.1, 0.5, 0.3, 0.5)
    changed, moved = augment(smooth(3, 80, channels), torch.rand(3, points, 2), 64, how, generator())
    assert changed.shape == (3, channels, 64, 64)
    assert moved.shape == (3, points, 2)
    assert torch.isfinite(changed).all()


@pytest.mark.parametrize(
    "wrong", [{"rotate": 181}, {"scale": 1.0}, {"flip": 1.5}, {"erase": -0.1}, {"shift": float("nan")}]
)
def test_values_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Augment(**wrong)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_a_gpu_gives_the_same(where: str) -> None:
    images, points = smooth(8, 112), torch.rand(8, 21, 2)
    how = Augment(40, 0.5, 0.1, 0.5, 0.4, 0.5)
    random = torch.Generator(where).manual_seed(1)
    changed, moved = augment(images.cuda(), points.cuda(), 96, how, random)
    assert changed.is_cuda
    assert moved.is_cuda
    torch.testing.assert_close(inputs(smooth(8, 224).cuda(), 96).cpu(), inputs(smooth(8, 224), 96), atol=0.02, rtol=0)
    if where == "cpu":
        expected = augment(images, points, 96, how, generator(1))
        torch.testing.assert_close(moved.cpu(), expected[1])
        assert (changed.cpu() - expected[0]).abs().mean() < 1e-3
