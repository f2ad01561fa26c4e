"""reshape, permute, concat, slices and their gradients, against NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gradcheck import check_gradients
from tests.reference import shape as reference

import tenfold
from tenfold import _core
from tenfold import functional as F

DTYPES = [np.float32, np.float64]


def numbers(shape, dtype=np.float64):
    """Return distinct integers: a misplaced element cannot hide."""
    return np.arange(1, 1 + np.prod(shape, dtype=int), dtype=dtype).reshape(shape)


def check_move(f, move, x):
    """Check y = f(x) and its gradient exactly, where `move` is the same in NumPy."""
    expected = move(x)
    actual = f(x)
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)
    y, pull = tenfold.vjp(f, x)
    np.testing.assert_array_equal(y, expected)
    dy = numbers(expected.shape, x.dtype)
    (dx,) = pull(dy)
    assert dx.dtype == x.dtype
    np.testing.assert_array_equal(dx, reference.moved_gradient(move, x, dy))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dims", list(itertools.permutations(range(4))), ids=str)
def test_permute(dims, dtype):
    check_move(lambda x: F.permute(x, dims), lambda x: np.transpose(x, dims), numbers((2, 3, 5, 7), dtype))


@pytest.mark.parametrize(
    ("shape", "dims"),
    [
        ((3, 530, 140), (0, 2, 1)),
        ((140, 3, 530), (2, 1, 0)),
        ((19, 5, 33, 17), (3, 0, 2, 1)),
        ((3, 0, 5), (2, 1, 0)),
        ((7, 300, 3), (0, 2, 1)),  # few of one axis
        ((7, 1021, 2), (0, 2, 1)),
        ((7, 9, 3), (0, 2, 1)),
        ((5, 2, 300), (0, 2, 1)),
        ((40, 50, 6), (1, 0, 2)),  # short runs stay together,
        ((3, 4, 200), (1, 0, 2)),  # long ones,
        ((2, 3, 9001), (1, 0, 2)),  # and longer ones than a tile
        ((2, 5, 3, 30, 4), (2, 3, 0, 1, 4)),
        ((3, 11, 2, 13, 2), (0, 2, 4, 1, 3)),
        ((3, 2, 2, 11, 13), (0, 3, 1, 4, 2)),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_permute_in_many_tiles(shape, dims, dtype, threads):
    check_move(lambda x: F.permute(x, dims), lambda x: np.transpose(x, dims), numbers(shape, dtype))


def test_permute_takes_negative_axes():
    np.testing.assert_array_equal(F.permute(numbers((2, 3, 5)), (-1, 0, 1)).shape, (5, 2, 3))


@pytest.mark.parametrize(
    "key",
    [
        0,
        -1,
        slice(1, 2),
        slice(None, None, -1),
        slice(None, None, -2),
        slice(5, 1, -3),
        slice(3, 1),
        ...,
        None,
        (slice(None), 1),
        (..., 2),
        (..., slice(1, 6, 2)),
        (None, ..., None, 0),
        (1, 2, 3, 4),
        (slice(None), slice(None, None, -1), slice(1, None, 2), slice(-3, None)),
        (slice(0, 0),),
        (slice(-100, 100), slice(2, -100, -1)),
    ],
    ids=repr,
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_getitem(key, dtype):
    check_move(lambda x: F.getitem(x, key), lambda x: x[key], numbers((2, 3, 5, 7), dtype))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_getitem_drawn(data):
    shape = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=4).map(tuple))
    ends = st.one_of(st.none(), st.integers(-7, 7))
    step = st.one_of(st.none(), st.integers(-3, 3).filter(bool))
    one = st.one_of(st.builds(slice, ends, ends, step), st.none(), st.just(slice(None)))
    key = tuple(data.draw(st.lists(one, max_size=len(shape))))
    x = numbers(shape)
    check_move(lambda v: F.getitem(v, key), lambda v: v[key], x)


@pytest.mark.parametrize(
    ("shape", "new"),
    [
        ((2, 3, 5), (6, 5)),
        ((2, 3, 5), (-1,)),
        ((2, 3, 5), (5, -1, 2)),
        ((), (1, 1)),
        ((0, 3), (3, 0)),
        ((4,), 4),
    ],
)
def test_reshape(shape, new):
    check_move(lambda x: F.reshape(x, new), lambda x: x.reshape(new), numbers(shape))


def test_flatten_follows_torch():
    x = numbers((2, 3, 5, 7))
    assert F.flatten(x).shape == (210,)
    assert F.flatten(x, 1).shape == (2, 105)
    assert F.flatten(x, 1, 2).shape == (2, 15, 7)
    assert F.flatten(np.array(3.0)).shape == (1,)
    assert F.flatten(np.zeros((0, 3, 2)), 1).shape == (0, 6)
    np.testing.assert_array_equal(F.unflatten(F.flatten(x, 1), 1, (3, -1, 7)), x)


def test_squeeze_and_unsqueeze():
    x = numbers((2, 1, 3, 1))
    assert F.squeeze(x).shape == (2, 3)
    assert F.squeeze(x, 1).shape == (2, 3, 1)
    assert F.squeeze(x, 0).shape == (2, 1, 3, 1)
    assert F.squeeze(x, (1, -1)).shape == (2, 3)
    assert F.unsqueeze(x, 0).shape == (1, 2, 1, 3, 1)
    assert F.unsqueeze(x, -1).shape == (2, 1, 3, 1, 1)


@pytest.mark.parametrize(
    ("shape", "target"),
    [
        ((3, 1), (3, 5)),
        ((1,), (2, 3)),
        ((), (2, 3)),
        ((2, 1, 5, 1), (7, 2, 3, 5, 4)),
        ((1, 3), (0, 3)),
        ((2, 3), (2, 3)),
    ],
)
def test_broadcast_to(shape, target):
    check_move(
        lambda x: F.broadcast_to(x, target), lambda x: np.broadcast_to(x, target).copy(), numbers(shape)
    )


def test_expand_keeps_an_axis_with_minus_one():
    assert F.expand(numbers((2, 1, 5)), -1, 3, -1).shape == (2, 3, 5)
    assert F.expand(numbers((2, 1, 5)), (4, -1, 3, -1)).shape == (4, 2, 3, 5)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("dtype", [*DTYPES, np.int64])
def test_concat(axis, dtype):
    shapes = [[2, 3, 5] for _ in range(3)]
    for extent, shape in zip((1, 4, 0), shapes):
        shape[axis] = extent
    parts = [numbers(s, dtype) + 1000 * i for i, s in enumerate(shapes)]
    np.testing.assert_array_equal(F.concat(parts, axis), np.concatenate(parts, axis))
    np.testing.assert_array_equal(F.cat(parts, axis), np.concatenate(parts, axis))


@pytest.mark.parametrize(
    ("shapes", "axis"),
    [
        ([(9001, 3), (9001, 1), (9001, 0), (9001, 7)], 1),
        ([(500, 15), (500, 16), (500, 17)], 1),
        ([(3, 9001), (3, 5), (3, 20_000)], 1),
        ([(40_001,), (3,)], 0),
        ([(2, 5, 31, 33), (2, 1, 31, 33)], 1),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_concat_of_any_lengths_at_every_thread_count(shapes, axis, dtype, threads):
    parts = [numbers(s, dtype) + 1000 * i for i, s in enumerate(shapes)]
    y, pull = tenfold.vjp(lambda *p: F.concat(list(p), axis), *parts)
    np.testing.assert_array_equal(y, np.concatenate(parts, axis))
    for d, part in zip(pull(y), parts):
        np.testing.assert_array_equal(d, part)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_concat_gradient_is_the_matching_slice(axis):
    a, b = numbers((2, 3, 5)), numbers((2, 3, 5)) + 100
    y, pull = tenfold.vjp(lambda a, b: F.concat([a, b], axis), a, b)
    dy = numbers(y.shape)
    expected = np.split(dy, 2, axis)
    for d, e in zip(pull(dy), expected):
        np.testing.assert_array_equal(d, e)


def test_an_input_used_twice_gets_both_gradients():
    x = numbers((2, 3))
    _, pull = tenfold.vjp(lambda v: F.concat([v, F.flip(v, 1)], 1), x)
    np.testing.assert_array_equal(pull(np.ones((2, 6)))[0], np.full((2, 3), 2.0))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_stack(axis):
    a, b = numbers((2, 3)), numbers((2, 3)) + 10
    np.testing.assert_array_equal(F.stack([a, b], axis), np.stack([a, b], axis))
    check_gradients(lambda a, b: F.stack([a, b], axis), a, b)


def test_split_and_chunk():
    x = numbers((7, 3))
    for part, expected in zip(F.split(x, 3), (x[:3], x[3:6], x[6:])):
        np.testing.assert_array_equal(part, expected)
    for part, expected in zip(F.split(x, [2, 0, 5]), (x[:2], x[2:2], x[2:])):
        np.testing.assert_array_equal(part, expected)
    assert [p.shape for p in F.chunk(x, 3)] == [(3, 3), (3, 3), (1, 3)]
    check_move(lambda v: F.split(v, 3)[1], lambda v: v[3:6], x)


@pytest.mark.parametrize("dims", [(2,), (2, 3), (1, 2, 1, 2), (0,)], ids=str)
def test_tile(dims):
    check_move(lambda x: F.tile(x, dims), lambda x: np.tile(x, dims), numbers((2, 3)))


def test_flip():
    check_move(lambda x: F.flip(x, (0, 2)), lambda x: np.flip(x, (0, 2)), numbers((2, 3, 5)))


def test_integers_move_too():
    labels = np.arange(6, dtype=np.int64).reshape(2, 3)
    moved = F.permute(labels, (1, 0))
    assert moved.dtype == np.int64
    np.testing.assert_array_equal(moved, labels.T)
    labels = np.arange(70 * 90, dtype=np.int64).reshape(70, 90)
    np.testing.assert_array_equal(F.permute(labels, (1, 0)), labels.T)


def test_results_do_not_depend_on_threads(threads):
    x = numbers((16, 9, 33, 35), np.float32)
    np.testing.assert_array_equal(F.permute(x, (2, 0, 3, 1)), np.transpose(x, (2, 0, 3, 1)))
    _, pull = tenfold.vjp(lambda v: F.broadcast_to(v, (64, 9, 33, 35)), x[:1])
    dy = np.random.default_rng(0).standard_normal((64, 9, 33, 35)).astype(np.float32)
    (dx,) = pull(dy)
    _core.set_num_threads(1)
    np.testing.assert_array_equal(dx, pull(dy)[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("axes", [(0, 3, 1, 2), (3, 2, 1, 0), (1, 0, 2, 3), (0, 1, 3, 2)])
def test_large_views_are_copied_right(axes, dtype, threads):
    stored = (np.arange(3 * 100 * 190 * 3) % 1000).reshape(3, 100, 190, 3).astype(dtype)
    for view in (stored.transpose(axes), stored[:, ::2].transpose(axes), stored[:, :, ::-1].transpose(axes)):
        np.testing.assert_array_equal(F.getitem(view, slice(None)), view)
    one = np.broadcast_to(stored[:1], stored.shape).transpose(axes)
    np.testing.assert_array_equal(F.getitem(one, slice(None)), one)


def test_non_contiguous_and_read_only_inputs_work():
    x = numbers((4, 6))[::2, ::-1]
    np.testing.assert_array_equal(F.permute(x, (1, 0)), x.T)
    x = numbers((4, 6))
    x.setflags(write=False)
    np.testing.assert_array_equal(F.getitem(x, slice(1, 3)), x[1:3])


X = numbers((2, 3, 4))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: F.reshape(X, (5, 5)),
            ValueError,
            r"reshape: shape must have as many elements as the input, 24",
        ),
        (lambda: F.reshape(X, (5, -1)), ValueError, r"reshape: shape must have as many elements"),
        (lambda: F.reshape(X, (-1, -1)), ValueError, r"reshape: shape must have at most one -1"),
        (lambda: F.reshape(X, (-2, 12)), ValueError, r"reshape: shape must have no negative extent"),
        (
            lambda: F.reshape(X, (2**40, 2**40)),
            ValueError,
            r"reshape: shape must have at most 2\^48 elements",
        ),
        (lambda: F.reshape(X, 2.5), TypeError, r"reshape: shape must be a sequence of ints; received 2.5"),
        (
            lambda: F.reshape(X.astype(object), 24),
            TypeError,
            r"reshape: input must be .* received dtype object",
        ),
        (lambda: F.reshape([1.0, 2.0], 2), TypeError, r"reshape: input must be .* received list"),
        (lambda: F.permute(X, (0, 1)), ValueError, r"permute: dims must name every axis of the input once"),
        (
            lambda: F.permute(X, (0, 1, 1)),
            ValueError,
            r"permute: dims must name every axis of the input once",
        ),
        (
            lambda: F.permute(X, (0, 1, 3)),
            ValueError,
            r"permute: dims must be from -3 to 2 for 3 axes; received 3",
        ),
        (
            lambda: F.transpose(X, 0, 5),
            ValueError,
            r"transpose: dim1 must be from -3 to 2 for 3 axes; received 5",
        ),
        (lambda: F.flatten(X, 2, 1), ValueError, r"flatten: start_dim must not come after end_dim"),
        (lambda: F.unflatten(X, 1, (2, 2)), ValueError, r"unflatten: sizes must make up axis 1 of size 3"),
        (lambda: F.concat([]), ValueError, r"concat: tensors must not be empty"),
        (lambda: F.concat(X), TypeError, r"concat: tensors must be a sequence of arrays; received ndarray"),
        (
            lambda: F.concat([X, X[:, :2]]),
            ValueError,
            r"concat: tensors must have one shape except along axis 0",
        ),
        (lambda: F.concat([X, X.astype(np.float32)]), TypeError, r"concat: tensors must have one dtype"),
        (
            lambda: F.concat([X, X], 3),
            ValueError,
            r"concat: axis must be from -3 to 2 for 3 axes; received 3",
        ),
        (lambda: F.stack([X, X[:1]]), ValueError, r"stack: tensors must have one shape"),
        (lambda: F.split(X, 0), ValueError, r"split: split_size_or_sections must be positive; received 0"),
        (
            lambda: F.split(X, [1, 2]),
            ValueError,
            r"split: split_size_or_sections must make up axis 0 of size 2",
        ),
        (lambda: F.chunk(X, 0), ValueError, r"chunk: chunks must be positive; received 0"),
        (
            lambda: F.broadcast_to(X, (2, 3)),
            ValueError,
            r"broadcast_to: shape must be one the input broadcasts to",
        ),
        (
            lambda: F.broadcast_to(X, (2, 3, 5)),
            ValueError,
            r"broadcast_to: shape must be one the input broadcasts to",
        ),
        (lambda: F.getitem(X, 2), IndexError, r"getitem: index 2 is out of bounds for axis 0 of size 2"),
        (lambda: F.getitem(X, (0, 0, 0, 0)), IndexError, r"getitem: key must have at most 3 indices"),
        (lambda: F.getitem(X, (..., ...)), IndexError, r"getitem: key must have at most one '...'"),
        (
            lambda: F.getitem(X, np.array([0])[[0, 0]]),
            TypeError,
            r"getitem: key must be made of ints, slices",
        ),
        (lambda: F.getitem(X, True), TypeError, r"getitem: key must be made of ints, slices"),
    ],
)
def test_bad_arguments_are_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()
