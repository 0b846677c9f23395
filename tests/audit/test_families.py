"""What `audit` says of code as in five public sources: a right number is not accused, a wrong one named."""

import pytest
from families import CASES

from vae_helpers.audit import Figure, audit, model


@pytest.fixture(autouse=True)
def elbo_alone(monkeypatch):
    """Of the model only its ELBO: what else is measured of it says nothing of the code."""

    def figures(subject, x, train, plan, generator, done):
        draws = model.draw(subject, x, 100, generator)
        elbo = Figure(-draws.elbo.mean().item(), draws.noise, "nats per image", "by 100 draws")
        return {"negative_elbo": elbo}, []

    monkeypatch.setattr(model, "figures", figures)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_report_says_what_an_expert_would_say(case):
    report = audit(**case.make(), images=case.images(), progress=False)
    if case.right:
        assert not report.codes, report
    else:
        assert report.codes in case.codes, report
