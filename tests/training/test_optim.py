"""The optimiser against the paper's formulas."""

import numpy as np
import torch
from nets import settings_of

from alexnet.settings.training import Training
from alexnet.training.optim import build_optimizer, set_rate


def test_ten_steps_with_a_drop_of_the_rate_are_the_papers_velocity() -> None:
    random = np.random.default_rng(0)
    weights, velocity = random.normal(0, 1, 50), np.zeros(50)
    parameter = torch.nn.Parameter(torch.from_numpy(weights.copy()))
    optimizer = build_optimizer([("fc8.weight", parameter)], Training.read(settings_of(None, lr=0.01)))
    rate = 0.01
    for step in range(10):
        if step == 5:
            rate = 0.001
            set_rate(optimizer, rate)
        gradient = random.normal(0, 1, 50)
        velocity = 0.9 * velocity - 0.0005 * rate * weights - rate * gradient
        weights = weights + velocity
        parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
        np.testing.assert_allclose(parameter.detach().numpy(), weights, rtol=1e-12, err_msg=f"step {step}")
