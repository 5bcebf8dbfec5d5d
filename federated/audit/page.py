"""The page of an audit, for a reader who is no specialist, and its numbers as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from html import escape
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from federated.audit.auditing import Audit
from federated.audit.finding import AS_IS, COLUMNS, INCONCLUSIVE, NOT_SHOWN, SUCCEEDS, Case
from federated.audit.inverting import NAME as INVERT
from federated.audit.membership import NAME as MEMBERSHIP
from federated.audit.prevalence import NAME as PREVALENCE
from federated.audit.rebuilding import NAME as REBUILD
from federated.audit.recognition import NAME as RECOGNISE
from federated.audit.remembering import NAME as MEMORY
from federated.lazy import pd
from federated.plots.style import styled
from federated.report.markup import chapter, picture, section
from federated.report.page import document
from federated.storage import write_bytes

ABOUT = {
    RECOGNISE: "The attacker holds some images, of which a few were in a training step, and the "
    "update of that step. He computes what each image would have changed and picks the likest. It "
    "is the question of somebody who already has a patient's image and asks whether the hospital "
    "used it. The control: an update of one image, the scanner layers fixed and known to him.",
    REBUILD: "The attacker has no image. He searches for images that would have made this update. "
    "PSNR and SSIM say how like the originals they are (greater is more alike), and an image is "
    "identified if it is more like its original than like any other candidate. Only attacks that "
    "use the weights are tried. The control is the same search where the scanner layers are fixed "
    "and known; if it fails the rest is not tried: a failure would say nothing.",
    MEMBERSHIP: "The attacker holds an image and a trained model, and guesses whether it was "
    "trained on: because the model is so sure of it, or surer than models of his own that never "
    "saw it (LiRA). TPR at 1 % FPR is the share of training images that he names while he names "
    "one of 100 others by mistake. The control is a model that learnt a few images by heart; "
    "chance is the same attack on the network before any training.",
    PREVALENCE: "The attacker makes updates out of images of his own, of which he knows how many "
    "are ill, and learns to read that share off an update. Then he reads it off updates of this "
    "hospital. The control is one plain step over all images at once, from layers that he knows.",
    MEMORY: "The memory never leaves a hospital. If it did, the attacker would compute the "
    "embedding of an image that he holds and look for its like. The control is a memory that he "
    "made himself; chance is the memory of another hospital.",
    INVERT: "The memory never leaves a hospital. If it did, the attacker would search for an image "
    "whose embedding an entry is. An image is identified if what he finds is more like it than "
    "like any other candidate. The control is the same search from embeddings that his own network "
    "made of the images.",
}
"""What each attack is, in plain words."""

WRAPPED = "tbody th { white-space: normal; min-width: 9rem; }"
"""Style of this page alone: a setting is read whole."""

ASIDE = (
    "Each attack stands beside a control, which is the same attack where it is known to work. If "
    "the control fails the verdict is “inconclusive”; no verdict says that anything is safe."
)

LIMITS = (
    "That an attack is not shown to succeed says nothing of a better one, nor of other settings; "
    "no audit shows that a run is safe.",
    "The run keeps no hospital's own update: updates are made again from the weights of its last "
    "round, by its loss, its optimiser and its noise if it has any. Code that a method brings, its "
    "pull towards the server's weights and MOON's contrast are left out.",
    "Images of one patient count as independent, which makes intervals too narrow where a patient "
    "has several.",
    "The attacker is given classes of images, and the server's view. Where updates are summed "
    "under masks he would have to be the hospital's own server process.",
    "Training images and others can differ for reasons of their own, above all where the data's "
    "publisher split them.",
)


def write_audit(audit: Audit, folder: Path) -> tuple[Path, Path]:
    """Write ``audit.html`` and ``audit.csv`` into a folder, and return their paths.

    Images of patients are on neither; of phantoms, some originals and what was rebuilt of them are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page, table = folder / "audit.html", folder / "audit.csv"
    rows = pd.DataFrame([row for case in audit.cases for row in case.rows()], columns=list(COLUMNS))
    write_bytes(table, rows.to_csv(index=False).encode())
    write_bytes(page, document(_title(audit), list(_parts(audit))).encode())
    return page, table


def _title(audit: Audit) -> str:
    return f"Audit of {audit.subject.run.study.common.name}: what attacks get"


def counts(audit: Audit) -> str:
    """Return how many cases ended in each verdict, as a sentence."""
    verdicts = [case.verdict for case in of_method(audit)]
    told = [f"{verdicts.count(v)} × {v}" for v in (SUCCEEDS, NOT_SHOWN, INCONCLUSIVE)]
    return f"{len(verdicts)} cases: {'; '.join(told)}."


def _parts(audit: Audit) -> Iterator[str]:
    subject = audit.subject
    known = {
        "hospital": subject.site,
        "method": subject.method,
        "seed": str(subject.seed),
        "shares": ", ".join(sorted(subject.visible)),
        "training images": str(len(subject.data.train)),
    }
    facts = " · ".join(f"<b>{escape(k)}</b> {escape(v)}" for k, v in known.items())
    yield (
        f"<style>{WRAPPED}</style><header><h1>{escape(_title(audit))}</h1><div class=answer>"
        "<p class=question>What does somebody learn of this hospital's patients from what leaves "
        f"it?</p><p>{escape(counts(audit))} {ASIDE}</p></div><p class=facts>{facts}</p></header>"
    )
    yield chapter(
        "Verdicts",
        [
            section(
                "What the method shares",
                _verdicts(audit),
                "what it would be if more or less were shared is told below",
            )
        ],
    )
    for attack in dict.fromkeys(case.attack for case in audit.cases):
        yield chapter(attack, _told(audit, attack))
    if subject.memory() is None:
        yield chapter(MEMORY, ["<p>The method keeps no memory; there is nothing to attack.</p>"])
    yield chapter("What this does not say", [_list(LIMITS)])
    yield chapter(
        "How much was tried", [_list(f"{_words(k)}: {v}" for k, v in asdict(audit.sizes).items())]
    )


def _verdicts(audit: Audit) -> pd.DataFrame:
    rows = [(c.attack, c.setting, _verdict(c), c.size) for c in of_method(audit)]
    return pd.DataFrame(rows, columns=["question", "setting", "verdict", "he gets"])


def of_method(audit: Audit) -> list[Case]:
    """Return the cases of what the method shares, and of the memory, which no method does."""
    return [
        case for case in audit.cases if case.variant == AS_IS or case.attack in (MEMORY, INVERT)
    ]


def _told(audit: Audit, attack: str) -> Iterator[str]:
    yield f"<p>{escape(ABOUT[attack])}</p>"
    cases = [case for case in audit.cases if case.attack == attack]
    rows = [
        (
            c.setting,
            c.variant,
            c.sees,
            *(_joined(n) for n in (c.got, c.control, c.chance)),
            _verdict(c),
        )
        for c in cases
    ]
    columns = ["setting", "shared", "the attacker sees", "he gets", "control", "chance", "verdict"]
    table = pd.DataFrame(rows, columns=columns)
    yield section("What he sees and gets", table, "brackets are 95 % intervals")
    if attack == REBUILD and audit.pictures is not None:
        yield _pictures(audit)


def _verdict(case: Case) -> str:
    return f"{case.verdict}: {case.why}" if case.why else case.verdict


def _joined(numbers: object) -> str:
    return "; ".join(n.text for n in numbers) or "not tried"  # type: ignore[attr-defined]


def _pictures(audit: Audit) -> str:
    if not audit.subject.is_phantom or audit.pictures is None:
        return "<p class=note>Images of patients are not shown; the numbers above are all.</p>"
    caption = "The control: originals above, rebuilt below. These patients are synthetic."
    return picture(_drawn(audit.pictures), _drawn(audit.pictures), caption, "rebuilt")


@styled
def _drawn(pictures: tuple[Tensor, Tensor]) -> Figure:
    originals, rebuilt = pictures
    count = len(originals)
    figure = Figure(figsize=(0.9 * count, 1.9), layout="constrained")
    for row, images in zip(
        figure.subplots(2, count, squeeze=False), (originals, rebuilt), strict=True
    ):
        for ax, image in zip(row, images, strict=True):
            ax.set_axis_off()
            ax.imshow(image.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    return figure


def _list(sentences: object) -> str:
    items = "".join(f"<li>{escape(s)}</li>" for s in sentences)  # type: ignore[attr-defined]
    return f"<ul>{items}</ul>"


def _words(name: str) -> str:
    return name.replace("_", " ")
