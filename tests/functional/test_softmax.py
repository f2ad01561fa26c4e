"""Softmax and log-softmax against the reference, and the identities they obey."""

import numpy as np
import pytest
from tests.gradcheck import check_gradients
from tests.reference import softmax as reference
from tests.tolerance import assert_close, ulp_error

import tenfold
from tenfold import functional as F
from tenfold import nn

SHAPES = [
    pytest.param((), 0, id="scalar"),
    pytest.param((7,), -1, id="vector"),
    pytest.param((64, 10), -1, id="many_rows_of_few_classes"),
    pytest.param((35, 12), -1, id="rows_of_few_classes_and_some_left"),
    pytest.param((33, 32), -1, id="the_longest_rows_that_are_turned"),
    pytest.param((33, 33), -1, id="the_shortest_rows_that_are_not"),
    pytest.param((3, 1000), 1, id="few_rows_of_many_classes"),
    pytest.param((2, 15), -1, id="one_below_a_vector"),
    pytest.param((2, 16), -1, id="one_vector"),
    pytest.param((2, 17), -1, id="one_above_a_vector"),
    pytest.param((2, 3, 5, 7), 1, id="columns"),
    pytest.param((2, 3, 257), 1, id="columns_one_above_a_piece"),
    pytest.param((3, 5, 7), 0, id="first_axis"),
    pytest.param((2, 3, 1), -1, id="one_class"),
    pytest.param((0, 3), -1, id="empty_batch"),
    pytest.param((2, 0), -1, id="no_classes"),
]
DTYPES = [np.float32, np.float64]
KINDS = ["softmax", "log_softmax"]


def draw(shape, dtype, seed=0):
    return np.asarray(4 * np.random.default_rng(seed).standard_normal(shape), dtype)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
def test_against_reference(isa, kind, dtype, shape, axis):
    x, dy = draw(shape, dtype), draw(shape, dtype, 1)
    y, pull = tenfold.vjp(lambda x: getattr(F, kind)(x, axis=axis), x)
    assert y.dtype == dtype
    if not x.size:
        assert y.shape == shape
        return
    if x.ndim == 0:  # the reference reduces along an axis
        x, dy, y, axis = x[None], dy[None], y[None], 0
    terms = x.shape[axis]
    assert_close(y, getattr(reference, kind)(x, axis), terms)
    dx = pull(dy.reshape(shape))[0].reshape(x.shape)
    assert_close(dx, getattr(reference, f"{kind}_gradient")(x, dy, axis), terms, scale=np.abs(dy).sum() / 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axis", [-1, 1])
def test_gradient_by_differences(kind, axis):
    check_gradients(lambda x: getattr(F, kind)(x, axis=axis), draw((2, 3, 5), np.float64) / 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((400, 100), -1), ((1001, 10), -1), ((4, 10, 1000), 1)],
    ids=["rows", "short_rows", "columns"],
)
def test_same_bits_at_every_thread_count(kind, shape, axis):
    results = []
    before = tenfold.num_threads()
    x, dy = draw(shape, np.float32), draw(shape, np.float32, 1)
    try:
        for threads in (1, 2, 3):
            tenfold.set_num_threads(threads)
            y, pull = tenfold.vjp(lambda x: getattr(F, kind)(x, axis=axis), x)
            results.append((y.tobytes(), pull(dy)[0].tobytes()))
    finally:
        tenfold.set_num_threads(before)
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", [3, 10, 32, 40])
def test_a_row_has_the_same_bits_alone(isa, kind, classes):
    x, dy = draw((71, classes), np.float32), draw((71, classes), np.float32, 1)
    y, pull = tenfold.vjp(getattr(F, kind), x)
    dx = pull(dy)[0]
    for row in (0, 31, 32, 70):
        alone, pull_alone = tenfold.vjp(getattr(F, kind), x[row : row + 1])
        np.testing.assert_array_equal(alone[0], y[row])
        np.testing.assert_array_equal(pull_alone(dy[row : row + 1])[0][0], dx[row])


def test_softmax_never_overflows(isa):
    x = np.array([21, 34, 10000, 680], np.float32)
    np.testing.assert_array_equal(F.softmax(x), [0, 0, 1, 0])
    np.testing.assert_array_equal(F.log_softmax(x), [-9979, -9966, 0, -9320])


def test_softmax_forgets_a_common_constant(isa):
    x = np.array([[1.0, -2.0, 0.5], [3.0, 3.0, -8.0]])
    np.testing.assert_array_equal(F.softmax(x + 1024.0), F.softmax(x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_of_two_is_sigmoid(isa, dtype):
    z = np.linspace(-30, 30, 101).astype(dtype)
    x = np.stack([np.zeros_like(z), z], axis=-1)
    np.testing.assert_allclose(F.softmax(x)[:, 1], F.sigmoid(z), rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param([-np.inf] * 3, id="all_minus_infinity"),
        pytest.param([1, np.nan, 2], id="nan"),
        pytest.param([np.nan, 1, 2], id="nan_first"),
        pytest.param([1, np.inf, 2], id="plus_infinity"),
    ],
)
@pytest.mark.parametrize("axis", [0, 1])
def test_rows_without_an_answer_are_nan(isa, row, axis):
    x = np.array([row, [0.0, 0.0, 0.0]])
    y = F.softmax(x if axis == 1 else x.T.copy(), axis=axis)
    y = y if axis == 1 else y.T
    assert np.isnan(y[0]).all()
    np.testing.assert_allclose(y[1], 1 / 3)


def test_minus_infinity_has_no_share(isa):
    np.testing.assert_array_equal(F.softmax(np.array([0.0, -np.inf, 0.0])), [0.5, 0, 0.5])


@pytest.mark.parametrize("kind", KINDS)
def test_views_and_read_only_arrays_work(kind):
    x = draw((6, 10), np.float64)
    x.flags.writeable = False
    f = getattr(F, kind)
    np.testing.assert_array_equal(f(x[::2, ::-1]), f(x[::2, ::-1].copy()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("axis", "error", "text"),
    [
        (2, ValueError, r"axis must be from -2 to 1 for an input of shape \(2, 3\); received 2"),
        (-3, ValueError, r"axis must be from -2 to 1 for an input of shape \(2, 3\); received -3"),
        (0.5, TypeError, r"axis must be an int; received 0.5"),
    ],
)
def test_wrong_axis_is_refused(kind, axis, error, text):
    with pytest.raises(error, match=f"^{kind}: {text}"):
        getattr(F, kind)(np.zeros((2, 3)), axis=axis)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("x", [np.zeros(3, int), np.zeros(3, object), [1.0]], ids=["int", "object", "list"])
def test_wrong_dtype_is_refused(kind, x):
    with pytest.raises(TypeError, match=f"^{kind}: input must be a float32 or float64 array"):
        getattr(F, kind)(x)


def test_layers():
    x = draw((2, 3, 5), np.float32)
    np.testing.assert_array_equal(nn.Softmax(axis=1)(x), F.softmax(x, axis=1))
    np.testing.assert_array_equal(nn.LogSoftmax(axis=1)(x), F.log_softmax(x, axis=1))
    assert repr(nn.Softmax(axis=1)) == "Softmax(axis=1)"


@pytest.mark.parametrize("columns", [10, 40])
def test_exponentials_are_accurate(isa: str, columns: int) -> None:
    """Beside 1 an exponential below 2^-25 leaves the sum 1: softmax returns it as it is."""
    x = np.full((20_000, columns), -np.inf, np.float32)
    x[:, 0] = 0
    x[:, -1] = np.linspace(-87, -17.5, len(x))
    y = F.softmax(x, axis=1)
    assert np.max(ulp_error(y[:, -1], np.exp(x[:, -1].astype(np.float64)))) < 1.1
    assert np.all(y[:, 0] == 1)
    assert not y[:, 1:-1].any()
