"""What could be had of the GPUs and cores now, and whose turn it is: pure functions.

A lease counts in full from the moment it is granted. The driver's free memory tells of strangers,
who hold no leases; as a young lease's memory is not taken yet, it is subtracted from that, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from .gpus import Device
from .leases import Held
from .needs import Need, gigabytes

__all__ = ["MACHINE", "GpuLimits", "Room", "Space", "measure", "turn"]

MACHINE = "machine"
"""The device of leases where the driver shows no GPU: only sessions and places can be counted."""

SETTLED_SECONDS = 30.0
"""Until then a lease's memory may not be taken yet: libraries load, models are read."""

PATIENCE_SECONDS = 60.0
"""Who has waited longer is not passed any more by those who came later."""

ASLEEP_SECONDS = 5.0
"""Who waits looks several times a second; who has not for so long was stopped."""

_NO_LIMIT = 2**40


@dataclass(frozen=True, kw_only=True)
class GpuLimits:
    """How far the GPUs may be filled."""

    places: int
    """Exports per device."""
    headroom_mib: int
    """GPU memory that stays free on each device."""
    sessions: int
    """NVENC sessions of the whole machine; 0 is no limit."""
    sessions_per_gpu: int
    """NVENC sessions of one GPU; 0 is no limit."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """What is left of one device."""

    id: str
    label: str
    free_mib: int
    """For new leases."""
    most_mib: int
    """What there would be if all leases were given back; the rest is strangers'."""
    capacity_mib: int
    """What there would be if nobody used it."""
    places: int
    most_places: int
    sessions: int
    """NVENC sessions left here; none on a GPU without encoding units."""
    leases: int = 0

    def refusal(self, need: Need, *, whole: bool) -> str:
        """Why `need` cannot be had here now; empty if it can.

        `whole`: no device has so much memory. It gets all that there is of one that nobody else
        holds a lease of, and its engine has to be content with that.
        """
        if need.alone and self.leases:
            return f"{self.label} for itself alone"
        if self.places <= 0:
            return f"{self.label}: {self.most_places} exports use it already"
        if need.nvenc_sessions > self.sessions:
            return (
                f"NVENC sessions: needs {need.nvenc_sessions}, {self.sessions} free on {self.label}"
            )
        if need.vram_mib > self.free_mib and not (whole and self.leases == 0):
            return (
                f"GPU memory: needs {gigabytes(need.vram_mib)}, "
                f"{gigabytes(self.free_mib)} free on {self.label}"
            )
        return ""

    def without(self, need: Need) -> Space:
        """What is left when `need` is taken."""
        return replace(
            self,
            free_mib=max(0, self.free_mib - need.vram_mib),
            places=0 if need.alone else self.places - 1,
            sessions=self.sessions - need.nvenc_sessions,
            leases=self.leases + 1,
        )


@dataclass(frozen=True, kw_only=True)
class Room:
    """What is left of all devices."""

    spaces: tuple[Space, ...]

    def place(self, need: Need) -> Space | None:
        """The device that serves `need` best: with the fewest exports, then the tightest fit."""
        whole = self._whole(need)
        fitting = [space for space in self.spaces if not space.refusal(need, whole=whole)]
        if whole:
            return max(fitting, key=lambda space: space.free_mib, default=None)
        return min(fitting, key=lambda space: (space.leases, space.free_mib), default=None)

    def refusal(self, need: Need) -> str:
        """Why `need` cannot be had now; of several devices the one with most memory tells."""
        if not self.spaces:
            return "a GPU: none is there"
        # A GPU without encoding units says nothing about sessions that are all in use.
        able = [s for s in self.spaces if s.sessions > 0 or not need.nvenc_sessions]
        roomiest = max(able or self.spaces, key=lambda space: space.free_mib)
        return roomiest.refusal(need, whole=self._whole(need))

    def reachable(self, need: Need) -> bool:
        """Whether it could be had somewhere once all leases are given back."""
        return self._whole(need) or any(need.vram_mib <= s.most_mib for s in self.spaces)

    def _whole(self, need: Need) -> bool:
        return all(need.vram_mib > space.capacity_mib for space in self.spaces)

    def fits(self, needs: Iterable[Need]) -> bool:
        """Whether all of `needs` can be had now."""
        room = self
        for need in needs:
            space = room.place(need)
            if space is None:
                return False
            room = room.without(need, space)
        return True

    def without(self, need: Need, taken: Space) -> Room:
        """What is left when `need` is taken of one of the spaces."""
        spaces = tuple(
            space.without(need)
            if space.id == taken.id
            # GeForce drivers count sessions over the whole machine.
            else replace(space, sessions=max(0, space.sessions - need.nvenc_sessions))
            for space in self.spaces
        )
        return Room(spaces=spaces)


def measure(devices: Sequence[Device], held: Iterable[Held], limits: GpuLimits, now: float) -> Room:
    """What is left, given all leases of the machine; `now` in seconds since 1970."""
    # Some drivers of GPUs that encode do not say that they do.
    silent = not any(device.nvenc for device in devices)
    by_device: dict[str, list[Held]] = {}
    for lease in held:
        if lease.need.gpu:
            by_device.setdefault(lease.device, []).append(lease)
    everywhere = sum(lease.need.nvenc_sessions for leases in by_device.values() for lease in leases)
    # Strangers' sessions show in the driver's count only.
    everywhere = max(everywhere, sum(device.sessions for device in devices))
    left = max(0, limits.sessions - everywhere) if limits.sessions else _NO_LIMIT
    if not devices:
        leases = by_device.get(MACHINE, [])
        return Room(
            spaces=(
                Space(
                    id=MACHINE,
                    label="this machine",
                    free_mib=_NO_LIMIT,
                    most_mib=_NO_LIMIT,
                    capacity_mib=_NO_LIMIT,
                    places=limits.places - len(leases),
                    most_places=limits.places,
                    sessions=left,
                    leases=len(leases),
                ),
            )
        )
    return Room(
        spaces=tuple(
            _space(
                replace(device, nvenc=device.nvenc or silent),
                by_device.get(device.id, []),
                limits,
                left,
                now,
            )
            for device in devices
        )
    )


def _space(
    device: Device, leases: Sequence[Held], limits: GpuLimits, left: int, now: float
) -> Space:
    leased = sum(lease.need.vram_mib for lease in leases)
    young = sum(lease.need.vram_mib for lease in leases if now - lease.since < SETTLED_SECONDS)
    capacity = max(0, device.total_mib - limits.headroom_mib)
    unused = device.free_mib - limits.headroom_mib
    sessions = 0
    if device.nvenc:
        here = max(sum(lease.need.nvenc_sessions for lease in leases), device.sessions)
        own = limits.sessions_per_gpu
        sessions = min(left, max(0, own - here)) if own else left
    return Space(
        id=device.id,
        label=device.label,
        free_mib=max(0, min(capacity - leased, unused - young)),
        most_mib=min(capacity, unused + leased - young),
        capacity_mib=capacity,
        places=0 if any(lease.need.alone for lease in leases) else limits.places - len(leases),
        most_places=limits.places,
        sessions=sessions,
        leases=len(leases),
    )


def turn(
    me: Held,
    wanted: Iterable[Held],
    held: Iterable[Held],
    now: float,
    *,
    fits: Callable[[Sequence[Need]], bool],
    reachable: Callable[[Need], bool],
) -> bool:
    """Whether `me` may go now and leave to those who come first what they need.

    Of those who wait for the same kind of thing and could go now, first comes the user who holds
    the fewest leases of this kind, then the higher priority, then who has waited longest. Who could
    not go is passed, but not for ever: after `PATIENCE_SECONDS` those who came later leave to it
    what it waits for, if that is `reachable` at all. Who has not looked for a while is asleep and
    does not count. `fits` tells whether all of some needs can be had at once now.
    """
    counts = Counter(_whose(lease) for lease in held if lease.need.gpu == me.need.gpu)

    def rank(one: Held) -> tuple[int, int, float]:
        return counts[_whose(one)], -one.priority, one.since

    first: list[Held] = []
    for other in wanted:
        asleep = now - other.looked > ASLEEP_SECONDS
        if other.id == me.id or other.need.gpu != me.need.gpu or asleep:
            continue
        if fits([other.need]):
            if rank(other) < rank(me):
                first.append(other)
            continue
        impatient = now - other.since > PATIENCE_SECONDS and other.since < me.since
        if impatient and reachable(other.need):
            return False
    return fits([*(other.need for other in sorted(first, key=rank)), me.need])


def _whose(one: Held) -> tuple[int, str]:
    return one.uid, one.person
