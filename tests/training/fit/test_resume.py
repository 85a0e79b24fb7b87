from pathlib import Path

import pytest
import torch
from torch import nn

from training.errors import ResumeError
from training.fit.resume import restore_optimiser


def test_an_optimiser_goes_on_where_it_was() -> None:
    network = nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(network.parameters())
    network(torch.ones(3)).sum().backward()
    optimiser.step()
    resumed = torch.optim.AdamW(network.parameters())
    restore_optimiser(resumed, optimiser.state_dict(), Path("last.pt"))
    assert resumed.state_dict()["state"][0]["step"] == 1


def test_an_optimiser_of_other_parameters_is_refused_with_what_to_do() -> None:
    old, new = (
        torch.optim.AdamW(nn.Linear(3, 2).parameters()),
        torch.optim.AdamW(nn.Linear(3, 2, bias=False).parameters()),
    )
    with pytest.raises(ResumeError, match=r"out/last\.pt holds an optimiser of other parameters .*another output"):
        restore_optimiser(new, old.state_dict(), Path("out/last.pt"))
