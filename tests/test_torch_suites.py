"""PyTorch's own generic tests of modules and of operators, on every module and kernel here.

A module joins by a line in `MODULES`, which says how it is made, called, and computed otherwise.
What is asked of it is what `test/test_modules.py` of PyTorch asks of each of its own.
"""

import copy
import json
import pickle
import tempfile
from functools import partial
from pathlib import Path
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from problems import PROBLEMS, random
from torch.overrides import TorchFunctionMode
from torch.testing import make_tensor
from torch.testing._internal.common_device_type import instantiate_device_type_tests
from torch.testing._internal.common_modules import (
    ErrorModuleInput,
    FunctionInput,
    ModuleErrorEnum,
    ModuleInfo,
    ModuleInput,
    modules,
)
from torch.testing._internal.common_utils import TestCase, gradcheck, gradgradcheck
from torch.testing._internal.optests import generate_tests

import edgelinear as el
from edgelinear import _torch

pytestmark = pytest.mark.slow

EDGES = torch.tensor([[3, 0, 1, 3, 0, 4, 3], [2, 0, 2, 1, 2, 0, 2]])  # 3 -> 2 is there twice


def edge_linear_inputs(module_info, device, dtype, requires_grad, training, **kwargs):
    make_input = partial(make_tensor, device=device, dtype=dtype, requires_grad=requires_grad)

    def case(desc, shape, **options):
        return ModuleInput(
            constructor_input=FunctionInput(5, 4, EDGES, duplicates="keep", **options),
            forward_input=FunctionInput(make_input(shape)),
            desc=desc,
            reference_fn=lambda m, p, x: F.linear(x, m.to_dense(), m.bias),
        )

    return [
        case("", (3, 5)),
        case("no_bias", (3, 5), bias=False),
        case("no_batch_dim", (5,)),
        case("many_batch_dims", (2, 3, 5)),
        case("empty_batch", (0, 5)),
    ]


def edge_linear_errors(module_info, device, dtype, requires_grad, training, **kwargs):
    make = partial(make_tensor, (3, 5), device=device, dtype=dtype)
    outside = FunctionInput(3, 4, EDGES)
    here = FunctionInput(5, 4, EDGES, duplicates="keep")
    narrow = make_tensor((3, 6), device=device, dtype=dtype)
    return [
        ErrorModuleInput(
            ModuleInput(outside, FunctionInput(make())),
            error_on=ModuleErrorEnum.CONSTRUCTION_ERROR,
            error_type=ValueError,
            error_regex="source 3 at edge 0 is outside",
        ),
        ErrorModuleInput(
            ModuleInput(here, FunctionInput(narrow)),
            error_on=ModuleErrorEnum.FORWARD_ERROR,
            error_type=ValueError,
            error_regex="5 features in its last dimension",
        ),
    ]


DAG = torch.tensor([[0, 2, 1, 0, 4, 3, 5, 2, 4], [4, 4, 5, 6, 6, 6, 7, 7, 7]])  # 2 is fed by none


def edge_network_inputs(module_info, device, dtype, requires_grad, training, **kwargs):
    make_input = partial(make_tensor, device=device, dtype=dtype, requires_grad=requires_grad)

    def truth(m, p, x):  # node by node: edges lead to higher numbers
        values = {int(node): x[..., i] for i, node in enumerate(m.inputs)}
        functions = {"tanh": torch.tanh, "sin": torch.sin, "identity": lambda z: z}
        for node in (n for n in range(8) if n not in values):
            z = torch.zeros_like(x[..., 0]) if m.bias is None else m.bias[node].expand(x.shape[:-1])
            for edge in (DAG[1] == node).nonzero()[:, 0].tolist():
                z = z + m.weight[edge] * values[int(DAG[0, edge])]
            values[node] = functions[m.activations[node]](z)
        return torch.stack([values[int(node)] for node in m.outputs], -1)

    def case(desc, shape, **options):
        options = {"activation": "tanh"} | options
        return ModuleInput(
            constructor_input=FunctionInput(8, DAG, [0, 1, 3], [7, 6, 3], **options),
            forward_input=FunctionInput(make_input(shape)),
            desc=desc,
            reference_fn=truth,
        )

    return [
        case("", (3, 3)),
        case("mixed", (3, 3), activation={2: "sin", 4: "sin", 5: "tanh", 7: "tanh"}),
        case("no_bias", (3, 3), bias=False),
        case("no_batch_dim", (3,)),
        case("many_batch_dims", (2, 3, 3)),
        case("empty_batch", (0, 3)),
    ]


def edge_network_errors(module_info, device, dtype, requires_grad, training, **kwargs):
    make = partial(make_tensor, device=device, dtype=dtype)
    cycle = FunctionInput(3, [(0, 1), (1, 2), (2, 1)], [0], [2])
    here = FunctionInput(8, DAG, [0, 1, 3], [7])
    return [
        ErrorModuleInput(
            ModuleInput(cycle, FunctionInput(make((3, 1)))),
            error_on=ModuleErrorEnum.CONSTRUCTION_ERROR,
            error_type=ValueError,
            error_regex="1 -> 2 -> 1",
        ),
        ErrorModuleInput(
            ModuleInput(here, FunctionInput(make((3, 8)))),
            error_on=ModuleErrorEnum.FORWARD_ERROR,
            error_type=ValueError,
            error_regex="3 features in its last dimension",
        ),
    ]


LOOPS = torch.tensor([[0, 1, 2, 2, 3, 3, 1], [2, 2, 3, 2, 1, 0, 1]])  # two of them self-loops


def edge_rnn_inputs(module_info, device, dtype, requires_grad, training, **kwargs):
    make_input = partial(make_tensor, device=device, dtype=dtype, requires_grad=requires_grad)
    functions = {"tanh": torch.tanh, "sin": torch.sin}

    def truth(m, p, x, state=None):  # by a dense matrix
        matrix = torch.zeros(4, 4, dtype=dtype).index_put(tuple(LOOPS.flip(0)), m.weight)
        f = functions[m.activations[0]]
        h = torch.zeros(*x.shape[:-2], 4, dtype=dtype) if state is None else state
        y = []
        for t in range(x.shape[-2]):
            is_potential = m.equation == "potential"
            z = (f(h) if is_potential else h) @ matrix.T + (0 if m.bias is None else m.bias)
            z = z + F.pad(x[..., t, :], (0, 2))  # nodes 0 and 1 are the inputs
            h = (1 - m.leak) * h + m.leak * (z if is_potential else f(z))
            y.append(h[..., m.outputs])
        return torch.stack(y, -2), h

    def case(desc, shape, state=None, **options):
        given = [make_input(shape), *([] if state is None else [make_input(state)])]
        return ModuleInput(
            constructor_input=FunctionInput(4, LOOPS, [0, 1], [3, 1], **options),
            forward_input=FunctionInput(*given),
            desc=desc,
            reference_fn=truth,
        )

    return [
        case("", (2, 3, 2)),
        case("state", (2, 3, 2), (2, 4), leak=0.5),
        case("potential", (2, 3, 2), (2, 4), leak=0.5, learn_leak=True, equation="potential"),
        case("potential_by_torch", (2, 2, 2), leak=0.5, equation="potential", activation="sin"),
        case("no_bias", (2, 3, 2), bias=False, leak=0.3),
        case("no_batch_dim", (3, 2), activation="sin"),
        case("empty_batch", (0, 3, 2)),
    ]


def edge_rnn_errors(module_info, device, dtype, requires_grad, training, **kwargs):
    make = partial(make_tensor, device=device, dtype=dtype)
    return [
        ErrorModuleInput(
            ModuleInput(FunctionInput(4, LOOPS, [0], [4]), FunctionInput(make((2, 3, 1)))),
            error_on=ModuleErrorEnum.CONSTRUCTION_ERROR,
            error_type=ValueError,
            error_regex="outputs",
        ),
        ErrorModuleInput(
            ModuleInput(FunctionInput(4, LOOPS, [0], [3]), FunctionInput(make((1,)))),
            error_on=ModuleErrorEnum.FORWARD_ERROR,
            error_type=ValueError,
            error_regex="one step is `step`",
        ),
    ]


# Every module, each by a line.
MODULES = [
    ModuleInfo(
        el.EdgeRNN,
        module_inputs_func=edge_rnn_inputs,
        module_error_inputs_func=edge_rnn_errors,
    ),
    ModuleInfo(
        el.EdgeNetwork,
        module_inputs_func=edge_network_inputs,
        module_error_inputs_func=edge_network_errors,
    ),
    ModuleInfo(
        el.EdgeLinear,
        module_inputs_func=edge_linear_inputs,
        module_error_inputs_func=edge_linear_errors,
    ),
]


def only(y):
    """Return outputs alone, where a module returns a state too."""
    return y[0] if isinstance(y, tuple) else y


def leaves(args, kwargs):
    """Return the tensors among the inputs."""
    return [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]


class TestModule(TestCase):
    def cases(self, info, device, dtype, training, requires_grad=False):
        """Yield each module of the table, and what it is called with."""
        for case in info.module_inputs_func(
            info, device=device, dtype=dtype, requires_grad=requires_grad, training=training
        ):
            if case.forward_input is None:
                continue
            torch.manual_seed(0)
            args, kwargs = case.constructor_input.args, case.constructor_input.kwargs
            module = info.module_cls(*args, **kwargs).to(device).to(dtype).train(training)
            yield case, module, case.forward_input.args, case.forward_input.kwargs

    @modules(MODULES)
    def test_forward(self, device, dtype, module_info, training):
        for case, module, args, kwargs in self.cases(module_info, device, dtype, training):
            y = module(*args, **kwargs)
            self.assertEqual(y, case.reference_fn(module, *args, **kwargs))

    @modules(MODULES)
    def test_factory_kwargs(self, device, dtype, module_info, training):
        for case, *_ in self.cases(module_info, device, dtype, training):
            args, kwargs = case.constructor_input.args, case.constructor_input.kwargs
            module = module_info.module_cls(*args, **kwargs, device=device, dtype=dtype)
            for tensor in (*module.parameters(), *module.buffers()):
                self.assertEqual(tensor.device.type, torch.device(device).type)
                self.assertEqual(tensor.dtype, dtype)
            with torch.device("meta"):
                module = module_info.module_cls(*args, **kwargs, dtype=dtype)
            self.assertTrue(all(p.is_meta for p in module.parameters()))

    @modules(MODULES)
    def test_repr(self, device, dtype, module_info, training):
        for _, module, *_ in self.cases(module_info, device, dtype, training):
            self.assertIn(module_info.module_cls.__name__, repr(module))
            str(module)

    @modules(MODULES)
    def test_save_load(self, device, dtype, module_info, training):
        for _, module, args, kwargs in self.cases(module_info, device, dtype, training):
            y = module(*args, **kwargs)
            with tempfile.TemporaryFile() as file:
                torch.save(module, file)
                file.seek(0)
                loaded = torch.load(file, weights_only=False)
            for twin in (loaded, pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
                self.assertEqual(twin(*args, **kwargs), y, rtol=0, atol=0)
                self.assertEqual(dict(twin.state_dict()), dict(module.state_dict()))

    @modules(MODULES)
    def test_state_dict(self, device, dtype, module_info, training):
        for _, module, args, kwargs in self.cases(module_info, device, dtype, training):
            y = module(*args, **kwargs)
            for assign in (False, True):
                twin = copy.deepcopy(module)
                with torch.no_grad():
                    for parameter in twin.parameters():
                        parameter.add_(1)
                twin = twin.to("meta") if assign else twin
                twin.load_state_dict(module.state_dict(), assign=assign)
                self.assertEqual(twin(*args, **kwargs), y, rtol=0, atol=0)

    def differentiate(self, check, info, device, dtype, training, **options):
        for _, module, args, kwargs in self.cases(info, device, dtype, training, True):
            names, parameters = zip(*module.named_parameters(), strict=True)
            inputs = leaves(args, kwargs)

            def run(*values, module=module, names=names, kwargs=kwargs):
                state = dict(zip(names, values[-len(names) :], strict=True))
                return torch.func.functional_call(module, state, values[: -len(names)], kwargs)

            if any(tensor.numel() == 0 for tensor in inputs):
                continue
            self.assertTrue(check(run, (*inputs, *parameters), **options))

    @modules(MODULES, allowed_dtypes=[torch.double])
    def test_grad(self, device, dtype, module_info, training):
        self.differentiate(gradcheck, module_info, device, dtype, training, check_forward_ad=True)

    @modules([m for m in MODULES if m.supports_gradgrad], allowed_dtypes=[torch.double])
    def test_gradgrad(self, device, dtype, module_info, training):
        self.differentiate(
            gradgradcheck, module_info, device, dtype, training, check_fwd_over_rev=True
        )

    @modules(MODULES)
    def test_non_contiguous_tensors(self, device, dtype, module_info, training):
        def spread(tensor):
            wide = torch.stack([tensor.detach(), torch.full_like(tensor, torch.nan)], -1)
            return wide[..., 0].requires_grad_(tensor.requires_grad)

        def outcome(module, inputs):
            y = module(*inputs)
            wanted = [*inputs, *module.parameters()]
            return y, *torch.autograd.grad(only(y).sum(), wanted)

        for _, module, args, _ in self.cases(module_info, device, dtype, training, True):
            expected = outcome(module, args)
            self.assertEqual(outcome(module, [spread(tensor) for tensor in args]), expected)
            for name, parameter in [*module.named_parameters()]:
                setattr(module, name, torch.nn.Parameter(spread(parameter)))
            self.assertEqual(outcome(module, args), expected)

    @modules(MODULES)
    def test_train_and_eval_modes(self, device, dtype, module_info, training):
        for _, module, args, kwargs in self.cases(module_info, device, dtype, training):
            self.assertEqual(module.training, training)
            outputs = []
            for mode in (training, not training):
                torch.manual_seed(1)
                outputs.append(module.train(mode)(*args, **kwargs))
            if not module_info.train_and_eval_differ:
                self.assertEqual(*outputs)

    @modules(MODULES)
    def test_device_context(self, device, dtype, module_info, training):
        for case, *_ in self.cases(module_info, device, dtype, training):
            with torch.device(device):
                args, kwargs = case.constructor_input.args, case.constructor_input.kwargs
                module = module_info.module_cls(*args, **kwargs)
            for tensor in (*module.parameters(), *module.buffers()):
                self.assertEqual(tensor.device.type, torch.device(device).type)

    @modules([m for m in MODULES if m.module_error_inputs_func is not None])
    def test_errors(self, device, dtype, module_info, training):
        for error in module_info.module_error_inputs_func(
            module_info, device=device, dtype=dtype, requires_grad=False, training=training
        ):
            case = error.module_error_input
            args, kwargs = case.constructor_input.args, case.constructor_input.kwargs
            if error.error_on is ModuleErrorEnum.CONSTRUCTION_ERROR:
                with self.assertRaisesRegex(error.error_type, error.error_regex):
                    module_info.module_cls(*args, **kwargs)
                continue
            module = module_info.module_cls(*args, **kwargs).to(dtype)
            with self.assertRaisesRegex(error.error_type, error.error_regex):
                module(*case.forward_input.args, **case.forward_input.kwargs)

    @modules(MODULES)
    def test_to_and_to_empty(self, device, dtype, module_info, training):
        for _, module, args, kwargs in self.cases(module_info, device, dtype, training):
            y, before = module(*args, **kwargs), [*module.parameters()]
            self.assertEqual([id(p) for p in module.to(device).parameters()], [*map(id, before)])
            self.assertEqual(module(*args, **kwargs), y, rtol=0, atol=0)
            for swap in (False, True):
                state = copy.deepcopy(module.state_dict())
                try:
                    torch.__future__.set_swap_module_params_on_conversion(swap)
                    moved = copy.deepcopy(module).to("meta").to_empty(device=device)
                    moved.load_state_dict(state)
                finally:
                    torch.__future__.set_swap_module_params_on_conversion(False)
                self.assertEqual(moved(*args, **kwargs), y, rtol=0, atol=0)


instantiate_device_type_tests(TestModule, globals(), only_for=("cpu",))


# The operators, wherever modules and functions call them.


class TestOperators(TestCase):
    """Calls that reach the operators, of which `generate_opcheck_tests` makes the tests."""


def through_operators(call):
    """Return a test that makes the call through the dispatcher, as kernels are called directly."""

    def test(self):
        names = ("is_plain", "is_memory", "is_unwatched")  # what each way to the kernels asks
        asked = dict.fromkeys(names, lambda *tensors: False)
        with mock.patch.multiple(_torch, **asked):
            call()

    return test


def add_call(name, call):
    setattr(TestOperators, f"test_{name}", through_operators(call))


def call_spmm(problem, backend, feature_major, bias):
    topology = problem.topology()
    weight, x = problem.weight().requires_grad_(), problem.x().requires_grad_()
    offset = random(problem.out_features).requires_grad_() if bias else None
    x = x.detach().t().contiguous().requires_grad_() if feature_major else x
    el.ops.spmm(weight, x, topology, backend, bias=offset, feature_major=feature_major)


def call_sddmm(problem, backend):
    a, b = problem.grad().requires_grad_(), problem.x().requires_grad_()
    el.ops.sddmm(a, b, problem.topology(), backend=backend)


def call_module(info, index, dtype):
    case = info.module_inputs_func(info, "cpu", dtype, True, True)[index]
    module = info.module_cls(*case.constructor_input.args, **case.constructor_input.kwargs)
    y = module.to(dtype)(*case.forward_input.args, **case.forward_input.kwargs)
    only(y).sum().backward()


# Backends that need other packages have lanes of their own, and opcheck there.
for backend in ("cpp", "torch_csr", "reference"):
    for name, problem in PROBLEMS.items():
        add_call(f"spmm_{backend}_{name}", partial(call_spmm, problem, backend, False, False))
        add_call(f"spmm_rows_{backend}_{name}", partial(call_spmm, problem, backend, True, True))
        add_call(f"sddmm_{backend}_{name}", partial(call_sddmm, problem, backend))
for info in MODULES:
    for dtype in (torch.float32, torch.float64):
        for index in range(len(info.module_inputs_func(info, "cpu", dtype, True, True))):
            called = f"{info.formatted_name}_{str(dtype)[6:]}_{index}"
            add_call(called, partial(call_module, info, index, dtype))


class Seen(TorchFunctionMode):
    """Notes the operators that are called, as opcheck does."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.operators = [*getattr(self, "operators", []), str(func)]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", [name for name in dir(TestOperators) if name.startswith("test_")])
def test_opcheck_sees_an_operator_in_every_call(name):
    with Seen() as seen:
        getattr(TestOperators, name)(None)
    assert any(operator.startswith("edgelinear.") for operator in seen.operators)


with tempfile.TemporaryDirectory() as folder:
    no_failures = Path(folder) / "failures.json"  # none is expected
    no_failures.write_text(generate_tests.FailuresDict(str(no_failures), {})._save(to_str=True))
    assert json.loads(no_failures.read_text())["data"] == {}
    generate_tests.generate_opcheck_tests(
        TestOperators,
        ["edgelinear"],
        str(no_failures),
        test_utils=[*generate_tests.ALL_TEST_UTILS],
    )
