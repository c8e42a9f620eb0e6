import math

import numpy as np
import pytest

from data.tasks.motion import MOTIONS, Rule, apply, fit, motions

FINGER, SHIFT, SIZE, TURN = (MOTIONS.index(name) for name in ("finger", "shift", "size", "turn"))


def hand(turned: float = 0.0, size: float = 10.0, middle: tuple[float, float] = (100, 80)) -> np.ndarray:
    """21 joints (21, 3), five straight fingers, turned, enlarged and moved."""
    joints = np.zeros((21, 3))
    for finger in range(5):
        for joint in range(4):
            joints[1 + 4 * finger + joint, :2] = (finger - 2, -1 - joint)
    c, s = math.cos(turned), math.sin(turned)
    joints[:, :2] = joints[:, :2] @ np.array([[c, s], [-s, c]]) * size + middle
    return joints


def test_a_still_hand_does_not_move() -> None:
    np.testing.assert_allclose(motions(np.stack([hand()] * 5)), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("frames", "motion"),
    [
        ([hand(middle=(100 + 20 * t, 80)) for t in range(5)], SHIFT),
        ([hand(size=10 * 1.2**t) for t in range(5)], SIZE),
        ([hand(turned=0.3 * t) for t in range(5)], TURN),
    ],
)
def test_each_motion_is_seen_by_its_own_number(frames: list[np.ndarray], motion: int) -> None:
    found = motions(np.stack(frames))
    assert found[motion] > 0.1
    others = [other for other in (FINGER, SIZE, TURN) if other != motion]  # a turn about no middle shifts it, too
    np.testing.assert_allclose(found[others], 0, atol=1e-9)


def test_numbers_by_hand() -> None:
    # The size grows by 1.2 a frame: logarithms 0, .18, .36, .55, .73; distances from the median 2, 1, 0, 1, 2 steps.
    assert motions(np.stack([hand(size=10 * 1.2**t) for t in range(5)]))[SIZE] == pytest.approx(math.log(1.2))
    # Turned by 0.3 a frame: the same, in radians, over more than half a turn too.
    assert motions(np.stack([hand(turned=0.3 * t) for t in range(5)]))[TURN] == pytest.approx(0.3)
    assert motions(np.stack([hand(turned=0.9 * t) for t in range(9)]))[TURN] == pytest.approx(1.8)
    # The palm's middle moves by 20 px a frame; its size is measured on its six joints.
    palm = hand()[[0, 1, 5, 9, 13, 17], :2]
    size = math.sqrt(((palm - palm.mean(0)) ** 2).sum(1).mean())
    moved = motions(np.stack([hand(middle=(100 + 20 * t, 80)) for t in range(5)]))
    assert moved[SHIFT] == pytest.approx(20 / size)
    # One finger tip goes from side to side by 6 px.
    waved = np.stack([hand() for _ in range(5)])
    waved[:, 8, 0] += [-6, 6, -6, 6, 0]
    assert motions(waved)[FINGER] == pytest.approx(6 / size)


def test_placeholders_missing_frames_and_the_other_hand() -> None:
    waved = np.stack([hand(middle=(100 + 20 * t, 80)) for t in range(6)])
    both = np.zeros((6, 42, 3))
    both[:, 21:] = waved
    np.testing.assert_allclose(motions(both), motions(waved))
    both[3] = np.nan
    both[2, :21] = hand(middle=(30, 30))  # seen in one frame: passing by
    np.testing.assert_allclose(motions(both), motions(np.delete(waved, 3, axis=0)))
    assert np.isnan(motions(np.zeros((6, 42, 3)))).all()
    assert np.isnan(motions(waved[:1])).all()


def test_two_finger_tips_tell_rotation_scaling_and_translation_apart() -> None:
    def tips(turned: float = 0.0, apart: float = 50.0, x: float = 100.0) -> np.ndarray:
        way = np.array([math.cos(turned), math.sin(turned), 0]) * apart / 2
        return np.array([x, 80, 0]) + np.stack([way, -way])

    times = np.arange(8)
    assert motions(np.stack([tips(turned=0.2 * t) for t in times])).argmax() in (TURN, FINGER)
    assert motions(np.stack([tips(apart=30 + 20 * t) for t in times])).argmax() == SIZE
    assert motions(np.stack([tips(x=100 + 20 * t) for t in times])).argmax() == SHIFT


def values(*numbers: float) -> np.ndarray:
    """Motions that differ in the shift alone."""
    found = np.zeros((len(numbers), 4))
    found[:, SHIFT] = numbers
    return found


def test_a_rule_by_hand() -> None:
    moved = values(0.1, 0.2, 0.3, 0.4, 1.0, 1.1, 1.2, 0.25)
    classes = np.array([2, 2, 2, 2, 5, 5, 5, 5])
    (rule,) = fit(moved, classes, [((2, 5),)])
    assert (rule.motion, rule.threshold) == (SHIFT, pytest.approx(0.7))
    # Below: all four of class 2, one of four of class 5; half a folder is added to each side.
    assert rule.shares == (pytest.approx((4.5 / 5, 1.5 / 5)), pytest.approx((0.5 / 5, 3.5 / 5)))
    before = np.array([[0, 0, 0.3, 0.1, 0, 0.6], [0, 0, 0.45, 0.1, 0, 0.45]])
    after = apply([rule], before, values(0.1, 2.0))
    weight = 0.3 * 0.9 + 0.6 * 0.3
    np.testing.assert_allclose(after[0], [0, 0, 0.9 * 0.27 / weight, 0.1, 0, 0.9 * 0.18 / weight])
    np.testing.assert_allclose(after[1], [0, 0, 0.9 * 0.125, 0.1, 0, 0.9 * 0.875])
    np.testing.assert_allclose(after.sum(1), 1)


def test_left_and_right_share_a_rule_and_keep_their_own_probability() -> None:
    moved = values(0.1, 0.2, 0.3, 1.0, 1.1, 1.2)
    classes = np.array([0, 1, 0, 2, 3, 2])  # 0 and 1 still, 2 and 3 moving; too few of each hand alone
    assert fit(moved, classes, [((0, 2),), ((1, 3),)]) == ()
    (rule,) = fit(moved, classes, [((0, 2), (1, 3))])
    before = np.array([[0.2, 0.4, 0.3, 0.1]])
    after = apply([rule], before, values(1.5))
    assert after[0, [0, 2]].sum() == pytest.approx(0.5)
    assert after[0, 2] > 0.45
    assert after[0, 3] / after[0, 1] == pytest.approx(0.1 / 0.4 * rule.shares[1][1] / rule.shares[1][0])


def test_the_threshold_is_the_likeliest_of_all() -> None:
    rng = np.random.default_rng(0)
    moved = rng.random((24, 4))
    classes = (rng.random(24) < 0.1 + 0.8 * (moved[:, 2] > 0.6)).astype(int)
    (rule,) = fit(np.concatenate([moved] * 2), np.concatenate([classes] * 2), [((0, 1),)])

    def likely(motion: int, threshold: float) -> float:
        counts = np.zeros((2, 2))
        for row, which in zip(moved, classes, strict=True):
            counts[int(row[motion] > threshold), which] += 2
        shares = (counts + 0.5) / (counts.sum(0) + 1)
        return float((counts * np.log(shares / shares.sum(1, keepdims=True))).sum())

    best = max(likely(m, t) for m in range(4) for t in [*moved[:, m]][:-1] if (moved[:, m] > t).any())
    assert likely(rule.motion, rule.threshold) == pytest.approx(best)


def test_noise_gives_no_rule_and_motion_gives_one() -> None:
    found, helped = 0, 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        moved, classes = rng.random((20, 4)), np.arange(20) % 2
        found += len(fit(moved, classes, [((0, 1),)]))
        moved[:, SIZE] = classes + 0.3 * rng.standard_normal(20)
        helped += len(fit(moved, classes, [((0, 1),)]))
    assert found <= 2
    assert helped >= 19


def test_what_is_unknown_stays() -> None:
    rule = Rule(((0, 1),), SHIFT, 0.5, ((0.9, 0.1), (0.1, 0.9)))
    before = np.array([[0.5, 0.3, 0.2], [0.0, 0.0, 1.0], [0.5, 0.3, 0.2]])
    after = apply([rule], before, np.concatenate([np.full((1, 4), np.nan), values(1.0, 1.0)]))
    np.testing.assert_allclose(after[:2], before[:2])
    assert after[2, 1] == pytest.approx(0.8 * 0.27 / 0.32)
    assert apply([], before, values(1, 1, 1)).tolist() == before.tolist()
    nothing = np.full((10, 4), np.nan)
    assert fit(nothing, np.arange(10) % 2, [((0, 1),)]) == ()
    assert fit(values(*[1.0] * 10), np.arange(10) % 2, [((0, 1),)]) == ()
