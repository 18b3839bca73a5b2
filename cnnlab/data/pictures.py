"""One's own pictures, from a zip or several files, to a data set.

They are read where they are, in memory, and never written anywhere. First comes a preview, for which no pixel is
unpacked: what classes there are, what is odd, what is there twice. Then all are unpacked to a common size.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from cnnlab.data import archives, labelling
from cnnlab.data.archives import SET_LIMITS, Member, SetLimits, Skipped, ZipSource
from cnnlab.data.dataset import Dataset, Gathered, Progress, part_pictures
from cnnlab.data.labelling import Labelling, Rule
from cnnlab.data.unpacking import digest, unpack_all
from cnnlab.downloading import Cancelled
from cnnlab.errors import InputRejected, ResourceExhausted, RunFailed
from cnnlab.images import containers

MIN_SIDE, MAX_SIDE = 8, 512
_EVERY = 64  # How many files are looked at between two words to the listener.


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What there is to learn from, told by the files' bytes and structure; no pixel is unpacked.

    Attributes:
        counts: How many pictures each class has, by name; pictures that are there twice count once.
        odd: Files that are left out, with the reason; more may turn out damaged when they are unpacked.
        duplicates: Names of files with the same bytes and the same class. The first is kept.
        conflicts: Names of files with the same bytes and different classes. None is kept.
        sizes: (height, width) as stored in the files, and how many have it, the most common first.
        num_bytes: Size of all the pictures' files.
        labelling: How the classes were told, and why so.
    """

    counts: dict[str, int]
    odd: tuple[Skipped, ...]
    duplicates: tuple[tuple[str, ...], ...]
    conflicts: tuple[tuple[str, ...], ...]
    sizes: tuple[tuple[tuple[int, int], int], ...]
    num_bytes: int
    labelling: Labelling

    @property
    def imbalance(self) -> float:
        """How many times more pictures the largest class has than the smallest; 1 where there is nothing to compare."""
        return max(self.counts.values()) / min(self.counts.values()) if self.counts else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A data set of one's own, and the files that did not make it.

    Attributes:
        dataset: Pictures of shape (N, side, side, 3).
        names: Of the files, one a picture.
        skipped: What was left out, with the reason.
    """

    dataset: Dataset
    names: tuple[str, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSet:
    """Files that are to become a data set. Nothing has been unpacked yet.

    Attributes:
        members: The files that may be pictures, in alphabetical order.
        skipped: Those that were left out by what the zip or their names say.
        labelling: How classes are told.
        limits: What the set may cost.
    """

    members: tuple[Member, ...]
    skipped: tuple[Skipped, ...]
    labelling: Labelling
    limits: SetLimits = SET_LIMITS

    @classmethod
    def from_zip(cls, source: ZipSource, *, limits: SetLimits = SET_LIMITS) -> "PictureSet":
        """The pictures in a zip.

        Args:
            source: Its bytes, or an open file that can seek and stays open as long as this set is used.
            limits: What it may cost.

        Raises:
            InputRejected: It is no zip, it is damaged, it holds too much or nothing of use.
        """
        return cls._of(*archives.members_of_zip(source, limits), limits)

    @classmethod
    def from_files(cls, files: Iterable[tuple[str, bytes]], *, limits: SetLimits = SET_LIMITS) -> "PictureSet":
        """Pictures given one by one, as name and bytes; the name may have folders in it.

        Raises:
            InputRejected: They are too many, or none is of use.
        """
        return cls._of(*archives.members_of_files(files, limits), limits)

    @classmethod
    def _of(cls, members: list[Member], skipped: list[Skipped], limits: SetLimits) -> "PictureSet":
        if not members:
            reasons = "".join(f" {one.name}: {one.reason}." for one in skipped[:3])
            raise InputRejected(f"There is no file here that could be a picture.{reasons} Give pictures of each class.")
        members.sort(key=lambda member: member.name)
        rule = labelling.choose_rule([member.name for member in members])
        return cls(members=tuple(members), skipped=tuple(skipped), labelling=rule, limits=limits)

    def labelled_by(self, rule: Rule) -> "PictureSet":
        """The same pictures with labels told by another rule.

        Raises:
            InputRejected: There is no such rule.
        """
        if rule not in labelling.RULES:
            raise InputRejected(f"Labels are told by one of {', '.join(labelling.RULES)}, not by {rule!r}.")
        return replace(self, labelling=Labelling(rule, "It was chosen."))

    def preview(self, *, progress: Progress | None = None, cancelled: Cancelled | None = None) -> Preview:
        """Read all files, unpack none.

        Args:
            progress: Called with "looking", the files done and the files in all.
            cancelled: Asked as often; True ends it.

        Raises:
            RunFailed: It was cancelled.
        """
        labelled, odd = self._labelled()
        found: list[tuple[Member, str]] = []
        digests: list[bytes] = []
        sizes: Counter[tuple[int, int]] = Counter()
        for done, (member, label) in enumerate(labelled, start=1):
            try:
                data = member.read()
                packed = containers.read(data)
            except InputRejected as error:
                odd.append(Skipped(member.name, str(error)))
            else:
                found.append((member, label))
                digests.append(digest(data))
                upright = (packed.height, packed.width) if packed.orientation < 5 else (packed.width, packed.height)
                sizes[upright] += 1
            if done % _EVERY == 0 or done == len(labelled):
                if progress:
                    progress("looking", done, len(labelled))
                if cancelled and cancelled():
                    raise RunFailed("Looking through the pictures was cancelled. Start it again when you need them.")
        repeats = _Repeats(found, digests)
        return Preview(
            counts=dict(sorted(Counter(found[index][1] for index in repeats.kept).items())),
            odd=tuple(odd),
            duplicates=repeats.duplicates,
            conflicts=repeats.conflicts,
            sizes=tuple(sizes.most_common()),
            num_bytes=sum(member.num_bytes for member, _ in found),
            labelling=self.labelling,
        )

    def decode(
        self,
        side: int,
        *,
        validation: float = 0.1,
        seed: int = 0,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
        threads: int | None = None,
    ) -> Decoded:
        """Unpack all pictures, fit them to a square and part them.

        Pictures in a folder called "test", which is none of a class, are the test part, if all classes are there; else
        a fifth is held out. What is there twice is taken once, since a picture in two parts would flatter every net.

        Args:
            side: In pixels, 8 to 512; the shorter side is resized to it, the middle cut out.
            validation: As in `part_pictures`.
            seed: Likewise.
            progress: Called with "unpacking", the files done and the files in all.
            cancelled: Asked as often; True ends it.
            threads: How many work at a time; by default one a core.

        Raises:
            InputRejected: Too few classes or pictures, or a side out of range.
            ResourceExhausted: The result would be too large.
            RunFailed: It was cancelled.
        """
        labelled, skipped = self._labelled()
        self._check_size(side, len(labelled))
        members = [member for member, _ in labelled]
        unpacked = unpack_all(members, side, progress=progress, cancelled=cancelled, threads=threads)
        skipped += [Skipped(members[index].name, reason) for index, reason in sorted(unpacked.faults.items())]
        found = [labelled[index] for index in unpacked.indices]
        repeats = _Repeats(found, unpacked.digests)
        skipped += [
            Skipped(name, "the same picture is there already") for one in repeats.duplicates for name in one[1:]
        ]
        skipped += [
            Skipped(name, "the same picture stands in another class, too") for one in repeats.conflicts for name in one
        ]
        kept = [found[index] for index in repeats.kept]
        pictures = torch.from_numpy(unpacked.pictures)
        if len(kept) < len(found):
            pictures = pictures[repeats.kept]
        names = tuple(member.name for member, _ in kept)
        dataset = part_pictures(
            "pictures",
            "Your pictures",
            _gathered(pictures, names, [label for _, label in kept], self.labelling.rule),
            validation=validation,
            seed=seed,
        )
        return Decoded(dataset=dataset, names=names, skipped=tuple(skipped))

    def _labelled(self) -> tuple[list[tuple[Member, str]], list[Skipped]]:
        """Members with their labels, and what is left out so far."""
        labelled, skipped = [], list(self.skipped)
        reason = {
            "folder": "it lies in no folder, so its class is not known",
            "prefix": "its name is no class with a number behind it",
        }[self.labelling.rule]
        for member in self.members:
            if label := labelling.label_of(member.name, self.labelling.rule):
                labelled.append((member, label))
            else:
                skipped.append(Skipped(member.name, reason))
        return labelled, skipped

    def _check_size(self, side: int, num_pictures: int) -> None:
        if not MIN_SIDE <= side <= MAX_SIDE:
            raise InputRejected(f"Pictures can be made {MIN_SIDE} to {MAX_SIDE} px on a side, not {side}. Take 64.")
        num_bytes = num_pictures * side * side * 3
        if num_bytes > self.limits.max_pixel_bytes:
            fitting = int((self.limits.max_pixel_bytes / num_pictures / 3) ** 0.5)
            raise ResourceExhausted(
                f"{num_pictures:,} pictures of {side} × {side} px take {num_bytes / 1e9:.1f} GB of memory; the lab has "
                f"{self.limits.max_pixel_bytes / 1e9:.1f} GB for them. Take {fitting} px or less."
            )


class _Repeats:
    """Which of some pictures to keep, so that none is there twice."""

    def __init__(self, found: Sequence[tuple[Member, str]], digests: Sequence[bytes]) -> None:
        groups: dict[bytes, list[int]] = defaultdict(list)
        for index, one in enumerate(digests):
            groups[one].append(index)
        duplicates, conflicts, kept = [], [], []
        for indices in groups.values():
            names = tuple(found[index][0].name for index in indices)
            if len({found[index][1] for index in indices}) > 1:
                conflicts.append(names)
                continue
            kept.append(indices[0])
            if len(indices) > 1:
                duplicates.append(names)
        self.kept = kept  # ascending, as dicts keep the order in which keys came
        self.duplicates = tuple(duplicates)
        self.conflicts = tuple(conflicts)


def _gathered(pictures: torch.Tensor, names: Sequence[str], labels: Sequence[str], rule: Rule) -> Gathered:
    classes = tuple(sorted(set(labels)))
    number = {label: index for index, label in enumerate(classes)}
    test = [index for index, name in enumerate(names) if labelling.is_for_test(name, rule)]
    if {labels[index] for index in test} != set(classes):
        test = []
    return Gathered(
        pictures=pictures,
        labels=torch.tensor([number[label] for label in labels], dtype=torch.int64),
        classes=classes,
        test=torch.tensor(test, dtype=torch.int64),
    )
