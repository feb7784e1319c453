"""Wrong answers that learners give, and the hint that each gets."""

import pytest
import torch
from torch.nn.functional import batch_norm, conv2d

from minioneformer.exercises.checking import ExerciseError
from minioneformer.exercises.other_backbones import check_fold_batch_norm, check_neighbors


def neighbors(position, length, kernel_size, dilation):
    of_class = list(range(position % dilation, length, dilation))
    start = max(position // dilation - kernel_size // 2, 0)
    start = min(start, len(of_class) - kernel_size)
    return of_class[start : start + kernel_size]


def fold(weight, mean, variance, norm_weight, norm_bias, eps):
    scale = norm_weight / (variance + eps).sqrt()
    return weight * scale[:, None, None, None], norm_bias - mean * scale


def test_right_answers_pass(capsys):
    check_neighbors(neighbors)
    check_fold_batch_norm(fold)
    assert capsys.readouterr().out.count("right in all") == 2


def test_the_right_fold_is_what_convolution_and_norm_do():
    torch.manual_seed(0)
    x, weight = torch.randn(2, 3, 5, 7), torch.randn(4, 3, 3, 2)
    mean, variance, norm_weight, norm_bias = torch.rand(4, 4)
    expected = batch_norm(conv2d(x, weight), mean, variance, norm_weight, norm_bias)
    folded, bias = fold(weight, mean, variance, norm_weight, norm_bias, 1e-5)
    torch.testing.assert_close(conv2d(x, folded, bias), expected, rtol=1e-4, atol=1e-5)


def test_a_window_that_is_cut_at_the_border_is_noticed():
    def wrong(position, length, kernel_size, dilation):
        reach = dilation * (kernel_size // 2)
        around = range(position - reach, position + reach + 1, dilation)
        return [p for p in around if 0 <= p < length]

    with pytest.raises(ExerciseError, match="moved inwards, not cut"):
        check_neighbors(wrong)


def test_a_window_that_is_moved_at_the_left_only_is_noticed():
    def wrong(position, length, kernel_size, dilation):
        start = max(position - kernel_size // 2, 0)
        return list(range(start, start + kernel_size))

    with pytest.raises(ExerciseError, match="at most length - kernel_size"):
        check_neighbors(wrong)


def test_no_dilation_and_one_that_leaves_its_class_are_noticed():
    with pytest.raises(ExerciseError, match="neighbours are `dilation` apart"):
        check_neighbors(lambda position, length, k, _: neighbors(position, length, k, 1))

    def wrong(position, length, kernel_size, dilation):
        last = length - dilation * (kernel_size - 1) - 1
        start = min(max(position - dilation * (kernel_size // 2), 0), last)
        return list(range(start, start + dilation * kernel_size, dilation))

    with pytest.raises(ExerciseError, match="not 0"):
        check_neighbors(wrong)


@pytest.mark.parametrize(
    ("class_length", "hint"),
    [
        (lambda length, dilation: -(-length // dilation), "classes need not be equally long"),
        (lambda length, dilation: length // dilation, "rounded up where a last step has begun"),
    ],
)
def test_classes_taken_to_be_equally_long_are_noticed(class_length, hint):
    def wrong(position, length, kernel_size, dilation):
        start = max(position // dilation - kernel_size // 2, 0)
        start = min(start, class_length(length, dilation) - kernel_size)
        first = position % dilation + dilation * start
        return list(range(first, first + dilation * kernel_size, dilation))

    with pytest.raises(ExerciseError, match=hint):
        check_neighbors(wrong)


def test_a_norm_without_root_and_one_without_mean_are_noticed():
    with pytest.raises(ExerciseError, match="the square root of the variance"):
        check_fold_batch_norm(lambda w, m, v, a, b, eps: fold(w, m, v**2, a, b, eps))
    with pytest.raises(ExerciseError, match=r"bias - mean \* scale"):
        check_fold_batch_norm(lambda w, m, v, a, b, eps: (fold(w, m, v, a, b, eps)[0], b))
    with pytest.raises(ExerciseError, match=r"bias - mean \* scale"):
        check_fold_batch_norm(lambda w, m, v, a, b, eps: (fold(w, m, v, a, b, eps)[0], b - m))


def test_eps_beside_the_root_is_noticed():
    def wrong(weight, mean, variance, norm_weight, norm_bias, eps):
        scale = norm_weight / (variance.sqrt() + eps)
        return weight * scale[:, None, None, None], norm_bias - mean * scale

    with pytest.raises(ExerciseError, match="under the root"):
        check_fold_batch_norm(wrong)


def test_a_scale_along_the_wrong_axis_is_noticed():
    def wrong(weight, mean, variance, norm_weight, norm_bias, eps):
        scale = norm_weight / (variance + eps).sqrt()
        return weight * scale[:, None, None], norm_bias - mean * scale

    with pytest.raises(ExerciseError, match="output channels are the first axis"):
        check_fold_batch_norm(wrong)
