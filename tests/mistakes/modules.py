"""Mistakes with modules and state dicts."""

from __future__ import annotations

from typing import Any

import numpy as np

import tripy as tp
from mistakes import mistake

image = tp.ones((1, 3, 8, 8)).eval()
vector = tp.Tensor([1, 2, 3])


class Scale(tp.Module):
    def __init__(self) -> None:
        self.factor = tp.Parameter([2.0, 3.0])

    def forward(self, x: Any) -> Any:
        return x * self.factor


class Empty(tp.Module):
    pass


@mistake(tp.TripyShapeError, "tp.ones((3, 8, 8))")
def image_without_a_batch() -> Any:
    return tp.Conv(3, 4, (3, 3))(tp.ones((3, 8, 8)))


@mistake(tp.TripyShapeError, "image")
def unfit_channels() -> Any:
    conv = tp.Conv(2, 4, kernel_dims=(3, 3))
    return conv(input=image)


@mistake(tp.TripyShapeError, "image")
def kernel_larger_than_the_image() -> Any:
    return tp.Conv(3, 4, (9, 3))(image)


@mistake(tp.TripyTypeError, "image16")
def image_of_another_dtype() -> Any:
    image16 = tp.cast(image, tp.float16)
    return tp.Conv(3, 4, (3, 3))(image16)


@mistake(tp.TripyTypeError, "tp.ones((1, 3, 8, 8), tp.int32)")
def image_of_integers() -> Any:
    return tp.Conv(3, 4, (3, 3))(tp.ones((1, 3, 8, 8), tp.int32))


@mistake(tp.TripyTypeError, "np.ones((1, 3, 8, 8), np.float32)")
def array_for_an_image() -> Any:
    return tp.Conv(3, 4, (3, 3))(np.ones((1, 3, 8, 8), np.float32))


@mistake(tp.TripyTypeError, "tp.Conv(3, 4, (3, 3))()")
def conv_of_nothing() -> Any:
    return tp.Conv(3, 4, (3, 3))()


@mistake(tp.TripyValueError, "2")
def groups_that_do_not_divide() -> Any:
    return tp.Conv(3, 4, (3, 3), groups=2)


@mistake(tp.TripyValueError, "0")
def zero_groups() -> Any:
    return tp.Conv(3, 4, (3, 3), groups=0)


@mistake(tp.TripyValueError, "0")
def zero_stride() -> Any:
    return tp.Conv(3, 4, (3, 3), stride=(1, 0))


@mistake(tp.TripyShapeError, "(1, 1, 1)")
def too_many_strides() -> Any:
    return tp.Conv(3, 4, (3, 3), None, (1, 1, 1))


@mistake(tp.TripyValueError, "(1, -1)")
def negative_padding_of_a_conv() -> Any:
    return tp.Conv(3, 4, (3, 3), padding=((0, 0), (1, -1)))


@mistake(tp.TripyValueError, '"full"')
def unknown_padding() -> Any:
    return tp.Conv(3, 4, (3, 3), padding="full")


@mistake(tp.TripyTypeError, "(1, (1, 1))")
def mixed_padding() -> Any:
    return tp.Conv(3, 4, (3, 3), padding=(1, (1, 1)))


@mistake(tp.TripyTypeError, "1.5")
def float_dilation() -> Any:
    return tp.Conv(3, 4, (3, 3), dilation=1.5)


@mistake(tp.TripyTypeError, "3")
def kernel_as_one_int() -> Any:
    return tp.Conv(3, 4, 3)


@mistake(tp.TripyShapeError, "()")
def kernel_without_dims() -> Any:
    return tp.Conv(3, 4, ())


@mistake(tp.TripyValueError, "0")
def zero_channels() -> Any:
    return tp.Conv(0, 4, (3, 3))


@mistake(tp.TripyTypeError, "tp.int32")
def integer_weights() -> Any:
    return tp.Conv(3, 4, (3, 3), dtype=tp.int32)


@mistake(tp.TripyTypeError, "tp.Conv(3)")
def missing_arguments() -> Any:
    return tp.Conv(3)


@mistake(tp.TripyTypeError, "pading=1")
def misspelt_argument() -> Any:
    return tp.Conv(3, 4, (3, 3), pading=1)


@mistake(tp.TripyValueError, "2")
def too_much_output_padding() -> Any:
    return tp.ConvTranspose(3, 4, (3, 3), stride=2, output_padding=2)


@mistake(tp.TripyValueError, '"same"')
def negative_same_padding() -> Any:
    return tp.ConvTranspose(3, 4, (2, 2), stride=3, padding="same")


@mistake(tp.TripyAttributeError, "conv.stride")
def changing_a_frozen_attribute() -> None:
    conv = tp.Conv(3, 4, (3, 3))
    conv.stride = (2, 2)


@mistake(tp.TripyAttributeError, "tp.Linear(2, 2).wieght")
def misspelt_parameter() -> Any:
    return tp.Linear(2, 2).wieght


@mistake(tp.TripyShapeError, "tp.ones((2, 4))")
def weight_of_another_shape() -> None:
    linear = tp.Linear(4, 3)
    linear.weight = tp.ones((2, 4))


@mistake(tp.TripyTypeError, "np.ones((3, 4))")
def weight_of_another_dtype() -> None:
    linear = tp.Linear(4, 3)
    linear.weight = np.ones((3, 4))


@mistake(tp.TripyTypeError, '"heavy"')
def weight_that_is_no_tensor() -> None:
    linear = tp.Linear(4, 3)
    linear.weight = "heavy"


@mistake(tp.TripyShapeError, "vector32")
def unfit_features() -> Any:
    vector32 = tp.cast(vector, tp.float32)
    return tp.Linear(4, 2)(vector32)


@mistake(tp.TripyTypeError, "image")
def double_precision_batchnorm() -> Any:
    return tp.BatchNorm(3, dtype=tp.float64)(image)


@mistake(tp.TripyShapeError, "image")
def unfit_features_of_a_batchnorm() -> Any:
    return tp.BatchNorm(4)(image)


@mistake(tp.TripyTypeError, "None")
def parameter_of_none() -> Any:
    return tp.Parameter(None)


@mistake(tp.TripyTypeError, "3")
def member_that_cannot_be_called() -> Any:
    return tp.Sequential(tp.relu, 3)


@mistake(tp.TripyKeyError, '"actt"')
def unknown_member() -> Any:
    return tp.Sequential({"act": tp.relu})["actt"]


@mistake(tp.TripyKeyError, "-2")
def member_out_of_range() -> Any:
    return tp.Sequential(tp.relu)[-2]


@mistake(tp.TripyAttributeError, 'tp.Sequential({"act": tp.relu}).linear')
def unknown_member_as_an_attribute() -> Any:
    return tp.Sequential({"act": tp.relu}).linear


@mistake(tp.TripyTypeError, "vector")
def wrong_input_of_the_first_member() -> Any:
    return tp.Sequential(tp.exp, tp.relu)(vector)


@mistake(tp.TripyShapeError, "network(tp.ones((1, 4)))")
def member_that_does_not_fit_the_one_before() -> Any:
    network = tp.Sequential(tp.Linear(4, 3), tp.Sequential({"last": tp.Linear(4, 2)}))
    return network(tp.ones((1, 4)))


@mistake(tp.TripyTypeError, "Empty()(vector)")
def module_without_forward() -> Any:
    return Empty()(vector)


@mistake(tp.TripyTypeError, "Scale()(vector, vector)")
def too_many_inputs_of_a_module() -> Any:
    return Scale()(vector, vector)


@mistake(tp.TripyTypeError, "self.factor")
def mistake_in_forward() -> Any:
    return Scale()(vector)


@mistake(tp.TripyStateDictError, '{"weight": np.ones((3, 2), np.float32)}')
def missing_name() -> Any:
    return tp.Linear(2, 3).load_state_dict({"weight": np.ones((3, 2), np.float32)})


@mistake(tp.TripyStateDictError, "state")
def misspelt_names() -> Any:
    state = {"wieght": np.ones((3, 2)), "bias": np.ones((3,)), "scale": [1.0]}
    return tp.Linear(2, 3).load_state_dict(state)


@mistake(tp.TripyStateDictError, "np.ones((2, 3), np.float32)")
def transposed_weight() -> Any:
    return tp.Linear(2, 3, bias=False).load_state_dict({"weight": np.ones((2, 3), np.float32)})


@mistake(tp.TripyTypeError, "None")
def none_in_a_state_dict() -> Any:
    return tp.Linear(2, 3).load_state_dict({"weight": None}, strict=False)


@mistake(tp.TripyTypeError, "[[1.0, 2.0], [3.0]]")
def ragged_state_dict() -> Any:
    return tp.Linear(2, 2, False).load_state_dict({"weight": [[1.0, 2.0], [3.0]]})


@mistake(tp.TripyTypeError, '[("weight", 1.0)]')
def state_dict_that_is_no_dict() -> Any:
    return tp.Linear(2, 3).load_state_dict([("weight", 1.0)])


@mistake(tp.TripyStateDictError, "{0: 1.0}")
def state_dict_with_numbers_as_names() -> Any:
    return tp.Linear(2, 3).load_state_dict({0: 1.0})
