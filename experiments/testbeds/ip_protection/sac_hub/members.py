"""Who is in SAC's zoo (Guan et al., NeurIPS 2022): 155 suspects of one victim, and six surrogates of its owner.

Every model has a place in the authors' release. Most were uploaded again by the authors of QuRD (Godinot et al., AAAI
2025), as `maurice-fp/SACBenchmark-<lineage>` on Hugging Face, where a model is named by how it came about.
"""

from collections.abc import Iterator
from typing import NamedTuple

VICTIM = "train(vgg_model,CIFAR10,base)"
VGG, RESNET = ("vgg16_bn",), ("resnet18",)
FOUR = tuple(name for name in ("vgg13", "resnet18", "densenet121", "mobilenet_v2") for _ in range(5))


class Group(NamedTuple):
    """Models of one role, numbered from `first`."""

    role: str
    place: str
    """Where one lies in the release."""
    lineage: str | None
    """How QuRD names one; None if it has uploaded none."""
    architectures: tuple[str, ...]
    """Of each model in turn."""
    data: str = "CIFAR10"
    """What normalises its images."""
    first: int = 0


class Member(NamedTuple):
    """One model."""

    name: str
    role: str
    architecture: str
    data: str
    place: str
    """File in the release."""
    repository: str | None
    """Repository of the upload, if there is one."""

    @property
    def pruned(self) -> bool:
        """Whether the release holds a whole network with its code instead of weights."""
        return self.role == "pruning"


GROUPS = (
    Group("victim", "model/vgg_model.pth", VICTIM, VGG),
    Group("surrogate", "model/student_model_tk_{number}.pth", None, ("vgg19_bn",) * 3 + ("resnet34",) * 3),
    Group("finetune_a", "finetune_10/finetune{number}.pth", VICTIM + "->finetune({number})", VGG * 10),
    Group("finetune_l", "finetune_10/finetune{number}.pth", None, VGG * 10, first=10),
    Group("pruning", "Fine-Pruning/prune_model_{number}.pth", VICTIM + "->fineprune({number})", VGG * 10),
    Group("pruning", "Fine-Pruning/prune_model_{number}.pth", None, VGG * 5, first=10),
    Group(
        "extract_l",
        "model/student_model_1_{number}.pth",
        VICTIM + "->label_extraction({architecture},{number})",
        FOUR,
    ),
    Group(
        "extract_p",
        "model/student_model_kd_{number}.pth",
        VICTIM + "->probit_extraction({architecture},{number})",
        FOUR,
    ),
    Group(
        "extract_adv", "adv_train/adv_{number}.pth", VICTIM + "->adv_label_extraction({architecture},{number})", FOUR
    ),
    Group(
        "transfer_10c",
        "finetune_model/finetune_cifar10c_{number}.pth",
        VICTIM + "->transfer(CIFAR10C,{number})",
        VGG * 10,
        "CIFAR10C",
    ),
    # Which half is A and which L is inferred of the published distances: whose body was trained is farther.
    Group(
        "transfer_a",
        "finetune_model/finetune_C_{number}.pth",
        VICTIM + "->transfer(CIFAR100,{number})",
        VGG * 5,
        "CIFAR100",
    ),
    Group(
        "transfer_l",
        "finetune_model/finetune_C_{number}.pth",
        VICTIM + "->transfer(CIFAR100,{number})",
        VGG * 5,
        "CIFAR100",
        first=5,
    ),
    Group("unrelated_original", "model/clean_model_{number}.pth", "train({architecture},CIFAR10,{number})", FOUR),
    Group(
        "unrelated_corrupted",
        "finetune_model/CIFAR10C_{number}.pth",
        "train({architecture},CIFAR10C,{number})",
        VGG * 5 + RESNET * 5,
        "CIFAR10C",
    ),
    Group("unrelated_turned", "finetune_model/CIFAR100{number}.pth", None, VGG * 10, "CIFAR100"),
)
"""`turned`, which stands for other labels in all zoos of the testbed, is the first ten classes of CIFAR-100 here."""


def members() -> Iterator[Member]:
    """All 162, the victim first."""
    for group in GROUPS:
        for number, architecture in enumerate(group.architectures, start=group.first):
            given = {"architecture": architecture, "number": number}
            name = group.role if group.role == "victim" else f"{group.role}-{number}"
            called = repository(group.lineage.format(**given)) if group.lineage else None
            yield Member(name, group.role, architecture, group.data, group.place.format(**given), called)


def repository(lineage: str) -> str:
    """The repository of a model that QuRD names by its lineage.

    >>> repository("train(vgg_model,CIFAR10,base)->finetune(3)")
    'maurice-fp/SACBenchmark-train.vgg_model.CIFAR10.base-finetune.3'
    """
    written = str.maketrans({">": "", ".": "_", "(": ".", ",": ".", ")": ""})
    return "maurice-fp/SACBenchmark-" + lineage.translate(written).strip("-.")


def uploaded(member: Member) -> bool:
    """Whether it was uploaded, and with it strangers to tell it from: of CIFAR-100 there are none."""
    return member.repository is not None and member.data != "CIFAR100"
