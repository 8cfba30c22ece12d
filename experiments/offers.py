"""What a testbed offers to a method: refused before any work where it is too little, handed over where it is enough."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from torch import nn

from experiments.commands.refusal import nearest
from experiments.interfaces import NEEDS, Method, Offered, Pair, Testbed, ZooModel

Open = Callable[[str], nn.Module]
"""A model's name -> the model."""
TWICE = 0.01
"""Share of its images that a data set may hold twice, so that parts which are dealt out share some."""


def refuse_unmet(method: Method, testbed: Testbed) -> None:
    """Refuse a method that the testbed cannot serve, or that would look at models that are scored.

    Raises:
        ValueError: if a need is not offered, the testbed offers what nobody could need, or one of the roles is scored,
            reserved or without a model.
    """
    unknown = sorted(testbed.offers - set(NEEDS))
    if unknown:
        raise ValueError(f"there is no need {unknown[0]!r} to offer; the needs are {', '.join(NEEDS)}")
    for need in method.needs:
        scored = need == "source" and _source(testbed).role in testbed.tested_roles  # whatever is offered
        if (scored or need not in testbed.offers) and not (need == "source" and method.leak):
            raise ValueError(f"{method.label} {NEEDS[need]}")
    known = {model.role for model in testbed.zoo.values()}
    reserved: frozenset[str] = getattr(testbed, "reserved_roles", frozenset())
    for use, roles in (method.roles or {}).items():
        scored = sorted(set(roles) & testbed.tested_roles)
        if scored and not method.leak:
            raise ValueError(
                f"{method.label}: roles {scored} ({use}) are scored by this testbed and cannot choose queries; take "
                "others, or leak=true, which a replication may"
            )
        if (kept := sorted(set(roles) & reserved)) and not method.leak:
            raise ValueError(
                f"{method.label}: roles {kept} ({use}) are kept by this testbed for its own use, such as calibration, "
                "and cannot choose queries; take others, or leak=true, which a replication may"
            )
        for role in roles:
            if role not in known:
                has = nearest(role, sorted(known), "the roles are")
                raise ValueError(f"{method.label}: no model of the zoo has the role {role!r} ({use}); {has}")


def refuse_learnt(testbed: Testbed) -> None:
    """Refuse samples that models of the zoo learnt from, where it tells which these are (`ZooModel.learnt`, `taught`).

    Reads what they learnt from: to be asked just before models are made ready, which reads it, too.

    Raises:
        ValueError: if more of the pool is among what they learnt from than data sets have images twice.
    """
    pool: set[bytes] = set()
    shared: set[bytes] = set()
    for model in testbed.zoo.values():
        parts = model.learnt() if model.learnt else [model.taught().inputs] if model.taught else []
        for part in parts:
            pool = pool or {image.numpy().tobytes() for image in testbed.samples.inputs}
            shared |= pool.intersection(image.numpy().tobytes() for image in part)
    if len(shared) > TWICE * len(pool):
        raise ValueError(
            f"{len(shared)} of the {len(testbed.samples.inputs)} images of testbed.samples are among those that models "
            "of this zoo learnt from, and reference points must be new to all; leave testbed.samples as it comes with "
            "the zoo, or take other images"
        )


def offered(method: Method, testbed: Testbed, opened: Open | None = None) -> Offered:
    """What the method's `queries` gets, its models opened by `opened` if there is one.

    Raises:
        ValueError: as `refuse_unmet`.
    """
    refuse_unmet(method, testbed)

    def handed(model: ZooModel) -> ZooModel:
        return model if opened is None else replace(model, load=partial(opened, model.name))

    needed = {"owned", "source", "watermark"} & set(method.needs)
    source = _source(testbed) if needed else None
    return Offered(
        samples=testbed.samples,
        budget=testbed.budget,
        source=handed(source) if source and "source" in method.needs else None,
        models={
            use: [handed(model) for model in testbed.zoo.values() if model.role in roles]
            for use, roles in (method.roles or {}).items()
        },
        pools=testbed.pools() if "pools" in method.needs else None,  # pyright: ignore[reportAttributeAccessIssue]
        owned=source.taught() if source and source.taught and "owned" in method.needs else None,
        triggers=source.triggers if source and "watermark" in method.needs else None,
    )


def comparable(method: Method, testbed: Testbed) -> list[Pair]:
    """The testbed's pairs, without those of which its `why_not`, if it has one, says why they cannot be compared.

    For a directed method, two models that are both sources also meet the other way round.

    Raises:
        ValueError: if none is left.
    """
    why_not: Callable[[Pair, Method], str] = getattr(testbed, "why_not", lambda pair, method: "")
    pairs = testbed.pairs()
    if method.directed:
        sources = {source for source, _ in pairs}
        pairs += [(b, a) for a, b in pairs if b in sources and (b, a) not in pairs]
    refused = {pair: why for pair in pairs if (why := why_not(pair, method))}
    if len(refused) == len(pairs):
        (first, second), why = next(iter(refused.items()))
        raise ValueError(f"{method.label} can compare no two of these models ({first} and {second}: {why})")
    return [pair for pair in pairs if pair not in refused]


def _source(testbed: Testbed) -> ZooModel:
    return testbed.zoo[testbed.pairs()[0][0]]
