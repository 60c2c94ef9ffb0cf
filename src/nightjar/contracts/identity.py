"""Who is who: devices and logins stitched to persons, and the links that say so."""

from __future__ import annotations

from enum import StrEnum

from nightjar.contracts.table import Column, Table


class IdKind(StrEnum):
    """What a pseudonym stands for."""

    DEVICE = "device"
    USER = "user"


class ApartRule(StrEnum):
    """Why links did not make members one person."""

    #: A device seen with more logins than allowed belongs to none of them.
    SHARED = "shared"
    #: The component of several logins has too many members to be one person.
    LARGE = "large"


IDENTITY = Table(
    "identity",
    "One member (a device or a login) whose person changed on a day.",
    (
        Column("member_id", "string", "Pseudonym of the device or the login.", nullable=False),
        Column("id_kind", "string", "One of the IdKind values.", nullable=False),
        Column(
            "person_id",
            "string",
            "Pseudonym of the person: the smallest login of those stitched together, else the member's own.",
            nullable=False,
        ),
        Column("dt", "date", "The shop's day as of whose end this holds.", nullable=False),
        Column(
            "component_id",
            "string",
            "Smallest login of all that links connect; the person, unless a rule broke it up.",
            nullable=False,
        ),
        Column("num_members", "int", "Devices and logins of the component on that day.", "members", nullable=False),
        Column("apart_rule", "string", "One of the ApartRule values; null where links alone decided."),
    ),
    key=("member_id",),
    order=("member_id",),
    caveats=(
        "The person of a member as of a day is in its latest row up to the day; without one it is its own person.",
        "An assignment holds for all of the member's events, also those before the login.",
        "A partition follows from the sessions up to its day alone; late ones rewrite the days from theirs on.",
        "A component may have grown since num_members was written: only members who change get a row.",
        "A visit over midnight counts with the day it starts on, also for a login after midnight.",
    ),
)

IDENTITY_LINKS = Table(
    "identity_links",
    "A login seen on a device for the first time: what identity is derived from.",
    (
        Column("device_id", "string", "Pseudonym of the device.", nullable=False),
        Column("user_id", "string", "Pseudonym of the login.", nullable=False),
        Column("dt", "date", "The day on which the first session with both starts.", nullable=False),
    ),
    key=("device_id", "user_id"),
    order=("device_id", "user_id"),
)
