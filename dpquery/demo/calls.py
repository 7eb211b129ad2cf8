"""Blocks of call rows.

Each block of rows is drawn from its own random stream, so that what a row holds depends on the seed, the number of rows
and the row's place, and not on how many rows are written at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dpquery.demo.lottery import Floats, Ints, Lotteries, Lottery, tickets_for
from dpquery.demo.world import (
    ABANDONED,
    AGENTS,
    ANSWERED,
    BETWEEN_PEOPLE,
    BUSY,
    CALLBACK,
    CAMPAIGNS,
    CELL_COUNTS,
    COLLECTIONS,
    DAYS,
    DIRECTIONS,
    DISPOSITIONS,
    FAILED,
    FIRST_DAY,
    INBOUND,
    NO_ANSWER,
    NO_OUTCOME,
    OPTOUT,
    OUTBOUND,
    OUTCOMES,
    P2P,
    PURPOSES,
    QUEUES,
    REFUSED,
    SALE,
    SALES,
    SERVICE,
    SERVICES,
    SMS,
    SUMMER_TIME_FROM,
    SURVEY,
    VOICE,
    VOICEMAIL,
    WRONG_NUMBER,
    day_of,
)

if TYPE_CHECKING:
    from dpquery.demo.population import People
    from dpquery.demo.spellings import Directory

BLOCK_ROWS = 100_000
CALL_SECONDS_MAX = 14_400
DIRTY_SHARE = 0.0005
"""Rows that an ingest has to put aside."""

SCHEMA = pa.schema(
    [
        ("call_id", pa.string()),
        ("caller", pa.string()),
        ("callee", pa.string()),
        ("third_party", pa.string()),
        ("start_ts", pa.timestamp("ms", tz="UTC")),
        ("service", pa.string()),
        ("direction", pa.string()),
        ("purpose", pa.string()),
        ("disposition", pa.string()),
        ("outcome", pa.string()),
        ("ring_s", pa.int32()),
        ("wait_s", pa.int32()),
        ("talk_s", pa.int32()),
        ("wrap_s", pa.int32()),
        ("price", pa.decimal128(9, 4)),
        ("cell_id", pa.string()),
        ("campaign_id", pa.string()),
        ("queue", pa.string()),
        ("agent_id", pa.string()),
        ("note", pa.string()),
        ("handset_imei", pa.string()),
    ]
)

_NOBODY = -1
"""No entry, no campaign, no queue, no agent: NULL in the file."""

# How busy each hour is, from midnight on.
_P2P_WEEKDAY = (3, 2, 1, 1, 1, 2, 8, 20, 32, 36, 38, 42, 48, 44, 40, 42, 48, 60, 66, 62, 54, 42, 24, 10)
_P2P_WEEKEND = (8, 5, 3, 2, 1, 1, 3, 8, 20, 38, 52, 58, 58, 52, 48, 48, 50, 54, 56, 52, 46, 38, 26, 14)
_INBOUND = (0.2, 0.1, 0.1, 0.1, 0.1, 0.2, 0.6, 4, 30, 52, 60, 54, 42, 44, 48, 46, 40, 30, 16, 9, 4, 1.5, 0.6, 0.3)
_OUTBOUND = (0, 0, 0, 0, 0, 0, 0, 0.6, 14, 44, 56, 54, 40, 38, 46, 48, 50, 52, 46, 30, 9, 0.8, 0, 0)
_DAY_WEIGHTS = (1.00, 0.98, 0.99, 1.01, 1.06, 0.80, 0.65)
_DIRECTION_SHARES = ((0.37, 0.21, 0.42), (0.26, 0.16, 0.58))
"""Shares of DIRECTIONS on weekdays and at weekends."""
_SMS_SHARES = (0.12, 0.04, 0.34)

# What is unusual about a call between people; `_PLAIN` for most.
_PLAIN, _TO_FOREIGN, _FROM_FOREIGN, _TOLL_FREE, _HELPLINE, _EMERGENCY, _WITHHELD, _FROM_CODE, _TO_CODE, _SENDER = range(
    10
)
_VOICE_TWISTS = (0.9255, 0.030, 0.012, 0.010, 0.0005, 0.001, 0.021, 0.0, 0.0, 0.0)
_SMS_TWISTS = (0.851, 0.030, 0.010, 0.0, 0.0, 0.0, 0.004, 0.055, 0.010, 0.040)
_WITHHELD_INBOUND = 0.03
_FOREIGN_INBOUND = 0.008
_REPEATED_INBOUND = 0.15
"""Callers who ring again soon, about the same thing."""

_QUEUE_BY_HOUR_LOAD = np.array([1.0 + value / 60 for value in _INBOUND])
_QUEUE_SHARES = (0.18, 0.24, 0.30, 0.11, 0.17)
_QUEUE_WAIT = (12.0, 26.0, 32.0, 16.0, 38.0)
_QUEUE_TALK = (260.0, 210.0, 300.0, 340.0, 420.0)
_QUEUE_PURPOSE = (SALES, COLLECTIONS, SERVICE, SALES, SERVICE)
_PURPOSE_QUEUES = (0, 4, 2, 1)
"""The agents' queue for each kind of campaign."""
_PURPOSE_TALK = (150.0, 240.0, 110.0, 170.0)

_AGE_SALE = np.array([0.75, 1.05, 1.00, 1.30])
_AGE_OPTOUT = np.array([1.25, 1.00, 0.95, 0.80])
_AGE_ANSWER = np.array([0.80, 0.95, 1.10, 1.25])

_NOTES = (
    "asked to be called after six",
    "prefers e-mail",
    "wants the invoice by post",
    "spoke to partner, call back",
    "line was bad, rang twice",
    "asked for a named agent",
    "moved house in January",
    "complained about the number of calls",
)
_NOTE_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Caller:
    """Draws whole blocks of rows over one population; built once, used for every block."""

    rows: int
    seed: int
    people: People
    directory: Directory
    names: dict[str, Any]
    """Arrow text for the values of each enumerated column."""
    day_ends: Floats
    """Share of the rows on or before each day."""
    weekend: Ints
    hours: Lotteries
    callers: Lottery
    contacts: Lottery
    campaign_by_day: Lotteries
    campaign_lists: tuple[Lottery, ...]
    foreign: Lottery
    friend_reach: Floats
    """1 / log(1 - q): a geometric draw of which friend is called."""

    def block(self, number: int) -> Any:
        """Rows of this block, from `number * BLOCK_ROWS` on, as an Arrow table."""
        rng = np.random.default_rng([self.seed, 1, number])
        first = number * BLOCK_ROWS
        columns = self._draw(rng, first, min(BLOCK_ROWS, self.rows - first))
        return self._table(rng, first, columns)

    def _draw(self, rng: np.random.Generator, first: int, size: int) -> _Columns:
        place = (first + np.arange(size) + 0.5) / self.rows
        day = np.minimum(np.searchsorted(self.day_ends, place, side="right"), DAYS - 1).astype(np.int32)
        weekend = self.weekend[day]
        direction = Lotteries.of(_DIRECTION_SHARES, bits=14).draw(rng, weekend)
        hour = self.hours.draw(rng, direction * 2 + weekend)
        columns = _Columns.blank(size, day, hour, direction)
        columns.service[:] = rng.random(size) < np.array(_SMS_SHARES)[direction]
        columns.cell[:] = rng.integers(sum(CELL_COUNTS), size=size)
        self._p2p(rng, columns, np.flatnonzero(direction == P2P))
        self._inbound(rng, columns, np.flatnonzero(direction == INBOUND))
        self._outbound(rng, columns, np.flatnonzero(direction == OUTBOUND))
        self._settle(rng, columns)
        self._soil(rng, columns)
        return columns

    def _p2p(self, rng: np.random.Generator, c: _Columns, at: Ints) -> None:
        size, people = len(at), self.people
        person = self.callers.draw(rng, size)
        rank = np.log(rng.random(size)) * self.friend_reach[person]
        friend = people.friends[
            people.friends_first[person] + rank.astype(np.int32) % people.friends_count[person]
        ].astype(np.int32)
        twist = Lotteries.of((_VOICE_TWISTS, _SMS_TWISTS), bits=14).draw(rng, c.service[at])
        caller, callee = person.copy(), friend
        directory = self.directory
        for kind, group in (
            (_FROM_FOREIGN, None),
            (_WITHHELD, directory.withheld),
            (_FROM_CODE, directory.short_codes),
            (_SENDER, directory.senders),
        ):
            chosen = np.flatnonzero(twist == kind)
            caller[chosen] = self._foreigners(rng, len(chosen)) if group is None else group.draw(rng, len(chosen))
        for kind, group in (
            (_TO_FOREIGN, None),
            (_TOLL_FREE, directory.toll_free),
            (_HELPLINE, directory.helpline),
            (_EMERGENCY, directory.emergency),
            (_TO_CODE, directory.short_codes),
        ):
            chosen = np.flatnonzero(twist == kind)
            callee[chosen] = self._foreigners(rng, len(chosen)) if group is None else group.draw(rng, len(chosen))
        c.caller[at], c.callee[at] = caller, callee
        c.purpose[at] = BETWEEN_PEOPLE
        from_person = caller < len(people)
        self._place(rng, c, at[from_person], caller[from_person])
        hour = c.hour[at]
        asleep = (hour < 7) | (hour >= 22)
        answered = 0.74 - 0.12 * asleep
        c.disposition[at] = _first_of(
            rng,
            size,
            (answered, ANSWERED),
            (0.06 + 0.04 * asleep, VOICEMAIL),
            (0.045, BUSY),
            (0.02, FAILED),
            last=NO_ANSWER,
        )
        c.talk_mean[at] = 75.0 + 25.0 * ((hour >= 18) & (hour < 23))
        foreign = (twist == _TO_FOREIGN) | (twist == _FROM_FOREIGN)
        c.price_factor[at] = np.where(foreign, 6, np.where((twist >= _TOLL_FREE) & (twist <= _EMERGENCY), 0, 1))
        c.handset[at] = np.where(from_person, caller, _NOBODY)

    def _inbound(self, rng: np.random.Generator, c: _Columns, at: Ints) -> None:
        size, directory = len(at), self.directory
        caller = self.contacts.draw(rng, size)
        queue = Lottery.of(_QUEUE_SHARES).draw(rng, size)
        earlier = np.arange(size) - rng.integers(1, 1 + min(1500, max(1, size)), size=size)
        again = (rng.random(size) < _REPEATED_INBOUND) & (earlier >= 0)
        caller[again], queue[again] = caller[earlier[again]], queue[earlier[again]]
        self._place(rng, c, at, caller)
        shown = rng.random(size)
        withheld = np.flatnonzero(shown < _WITHHELD_INBOUND)
        caller[withheld] = directory.withheld.draw(rng, len(withheld))
        foreign = np.flatnonzero(shown > 1 - _FOREIGN_INBOUND)
        caller[foreign] = self._foreigners(rng, len(foreign))
        c.caller[at] = caller
        c.callee[at] = directory.lines.first + (rng.random(size) < 0.35)
        c.queue[at] = queue
        c.purpose[at] = np.array(_QUEUE_PURPOSE)[queue]
        running = self.campaign_by_day.draw(rng, c.day[at])
        responds = (queue == 0) & (rng.random(size) < 0.4)
        c.campaign[at] = np.where(responds, running, _NOBODY)
        load = _QUEUE_BY_HOUR_LOAD[c.hour[at]]
        wait = rng.lognormal(0.0, 0.9, size) * np.array(_QUEUE_WAIT)[queue] * load * 0.6
        patience = rng.exponential(380.0, size) + 5
        c.disposition[at] = np.where(
            wait > patience, ABANDONED, _first_of(rng, size, (0.012, BUSY), (0.006, FAILED), last=ANSWERED)
        )
        c.wait[at] = np.minimum(np.minimum(wait, patience), 3_600)
        c.talk_mean[at] = np.array(_QUEUE_TALK)[queue]
        c.outcome[at] = np.where((queue == 0) & (rng.random(size) < 0.16), SALE, NO_OUTCOME)
        c.price_factor[at] = 0

    def _outbound(self, rng: np.random.Generator, c: _Columns, at: Ints) -> None:
        size = len(at)
        campaign = self.campaign_by_day.draw(rng, c.day[at])
        callee = np.empty(size, dtype=np.int32)
        for number, listed in enumerate(self.campaign_lists):
            called = np.flatnonzero(campaign == number)
            if CAMPAIGNS[number].kind == COLLECTIONS:
                callee[called] = _pursued(rng, listed, c.day[at[called]])
            else:
                callee[called] = listed.draw(rng, len(called))
        age = self.people.age[callee]
        kind = np.array([item.kind for item in CAMPAIGNS], dtype=np.int32)[campaign]
        c.callee[at], c.campaign[at], c.purpose[at] = callee, campaign, kind
        c.caller[at] = self.directory.lines.first + (kind >= SERVICE)
        c.queue[at] = np.array(_PURPOSE_QUEUES)[kind]
        self._place(rng, c, at, callee)
        hour = c.hour[at]
        at_home = np.where(hour >= 17, 1.25, np.where(hour < 10, 0.8, 0.97))
        contact = np.minimum(_of_campaign("contact_rate")[campaign] * _AGE_ANSWER[age] * at_home, 0.9)
        dropped = _of_campaign("abandoned_rate")[campaign]
        c.disposition[at] = _first_of(
            rng,
            size,
            (contact * (1 - dropped), ANSWERED),
            (contact * dropped, ABANDONED),
            (0.06, BUSY),
            (0.03, FAILED),
            (0.35 * (1 - contact), VOICEMAIL),
            last=NO_ANSWER,
        )
        outcome = _first_of(
            rng,
            size,
            (_of_campaign("sale_rate")[campaign] * _AGE_SALE[age], SALE),
            (_of_campaign("optout_rate")[campaign] * _AGE_OPTOUT[age], OPTOUT),
            (0.015, WRONG_NUMBER),
            (0.12, CALLBACK),
            (np.where((kind == SALES) | (kind == SURVEY), 0.45, 0.08), REFUSED),
            last=NO_OUTCOME,
        )
        c.outcome[at] = outcome
        refused = (outcome == REFUSED) | (outcome == OPTOUT) | (outcome == WRONG_NUMBER)
        c.talk_mean[at] = np.where(refused, 25.0, np.array(_PURPOSE_TALK)[kind])

    def _settle(self, rng: np.random.Generator, c: _Columns) -> None:
        """Times, agents and prices, which follow from the rest of the row."""
        size = len(c.day)
        sms, p2p = c.service == SMS, c.direction == P2P
        c.disposition[sms] = np.where(rng.random(int(sms.sum())) < 0.97, ANSWERED, FAILED)
        answered = c.disposition == ANSWERED
        talk = rng.lognormal(0.0, 1.0, size) * c.talk_mean
        talk = np.where(c.disposition == VOICEMAIL, 4 + talk * 0.15, np.where(answered, 1 + talk, 0))
        c.talk[:] = np.minimum(talk, CALL_SECONDS_MAX)
        c.ring[:] = np.where(c.direction == INBOUND, 1 + rng.exponential(1.5, size), 2 + rng.gamma(2.2, 5.5, size))
        served = answered & ~p2p & ~sms
        c.wrap[:] = np.where(served, np.minimum(rng.gamma(1.8, 22.0, size), 1_200), 0)
        c.agent[:] = np.where(served, rng.integers(AGENTS // len(QUEUES), size=size) * len(QUEUES) + c.queue, _NOBODY)
        c.outcome[~answered | sms] = NO_OUTCOME
        voice_price = np.where(answered, 150 + 3 * c.talk, 0)
        c.price[:] = np.where(sms, 350, voice_price) * c.price_factor

    def _soil(self, rng: np.random.Generator, c: _Columns) -> None:
        """A few rows as every real file has them: unreadable, incomplete, forwarded, late, on a private line."""
        at = np.flatnonzero(rng.random(len(c.day)) < DIRTY_SHARE)
        stain = Lottery.of((0.25, 0.15, 0.25, 0.15, 0.20)).draw(rng, len(at))
        unreadable, incomplete, forwarded, late, private = (at[stain == kind] for kind in range(5))
        c.callee[unreadable] = self.directory.unparsable.draw(rng, len(unreadable))
        c.caller[incomplete] = _NOBODY
        c.third[forwarded] = self.callers.draw(rng, len(forwarded))
        c.day[late] = np.where(rng.random(len(late)) < 0.5, -2, DAYS + 1)
        private = private[c.direction[private] == OUTBOUND]
        c.caller[private] = self.contacts.draw(rng, len(private))

    def _place(self, rng: np.random.Generator, c: _Columns, at: Ints, person: Ints) -> None:
        """Mostly at home or at work, else wherever the row already is."""
        where = rng.random(len(at))
        people = self.people
        known = np.where(where < 0.6, people.home_cell[person], people.work_cell[person])
        c.cell[at] = np.where(where < 0.9, known, c.cell[at])

    def _foreigners(self, rng: np.random.Generator, size: int) -> Ints:
        return self.directory.foreign.first + self.foreign.draw(rng, size)

    def _table(self, rng: np.random.Generator, first: int, c: _Columns) -> Any:
        size = len(c.day)
        voice, p2p = c.service == VOICE, c.direction == P2P
        notes = np.where(rng.random(size) < _NOTE_SHARE, rng.integers(len(_NOTES), size=size), _NOBODY)
        numbers = pa.array(np.arange(first + 1, first + size + 1) + 10**9).cast(pa.string())
        arrays = {
            "call_id": pc.binary_join_element_wise("c", numbers, ""),
            "caller": self.directory.spell(rng, c.caller),
            "callee": self.directory.spell(rng, c.callee),
            "third_party": self.directory.spell(rng, c.third),
            "start_ts": pa.array(_utc_ms(rng, c.day, c.hour)).cast(SCHEMA.field("start_ts").type),
            "service": self._named("service", c.service),
            "direction": self._named("direction", c.direction),
            "purpose": self._named("purpose", c.purpose),
            "disposition": self._named("disposition", c.disposition),
            "outcome": self._named("outcome", c.outcome),
            "ring_s": pa.array(c.ring, mask=~voice),
            "wait_s": pa.array(c.wait, mask=~voice | (c.direction != INBOUND)),
            "talk_s": pa.array(c.talk, mask=~voice),
            "wrap_s": pa.array(c.wrap, mask=~voice | p2p),
            "price": _decimals(c.price),
            "cell_id": self._named("cell_id", c.cell),
            "campaign_id": self._named("campaign_id", c.campaign),
            "queue": self._named("queue", c.queue),
            "agent_id": self._named("agent_id", c.agent),
            "note": self._named("note", np.where(p2p, _NOBODY, notes)),
            "handset_imei": self._named("handset_imei", c.handset),
        }
        return pa.table(arrays, schema=SCHEMA)

    def _named(self, column: str, codes: Ints) -> Any:
        return self.names[column].take(pa.array(codes, mask=codes < 0))


@dataclass(frozen=True, slots=True)
class _Columns:
    """One block under way: codes, not yet text; filled direction by direction."""

    day: Ints
    """Local day, 0 for the first of the period."""
    hour: Ints
    direction: Ints
    caller: Ints
    """Entries of the directory, as are `callee` and `third`."""
    callee: Ints
    third: Ints
    service: Ints
    purpose: Ints
    disposition: Ints
    outcome: Ints
    campaign: Ints
    queue: Ints
    agent: Ints
    cell: Ints
    handset: Ints
    ring: Ints
    wait: Ints
    talk: Ints
    wrap: Ints
    price: Ints
    """In hundredths of a penny."""
    price_factor: Ints
    talk_mean: Floats

    @classmethod
    def blank(cls, size: int, day: Ints, hour: Ints, direction: Ints) -> _Columns:
        def filled(value: int) -> Ints:
            return np.full(size, value, dtype=np.int32)

        return cls(
            day,
            hour,
            direction,
            caller=filled(_NOBODY),
            callee=filled(_NOBODY),
            third=filled(_NOBODY),
            service=filled(VOICE),
            purpose=filled(BETWEEN_PEOPLE),
            disposition=filled(ANSWERED),
            outcome=filled(NO_OUTCOME),
            campaign=filled(_NOBODY),
            queue=filled(_NOBODY),
            agent=filled(_NOBODY),
            cell=filled(0),
            handset=filled(_NOBODY),
            ring=filled(0),
            wait=filled(0),
            talk=filled(0),
            wrap=filled(0),
            price=filled(0),
            price_factor=filled(1),
            talk_mean=np.zeros(size),
        )


def build_caller(rows: int, seed: int, people: People, directory: Directory) -> Caller:
    """Everything that all blocks share."""
    rng = np.random.default_rng([seed, 2])
    weekdays = np.array([day_of(day).weekday() for day in range(DAYS)])
    volume = np.array(_DAY_WEIGHTS)[weekdays] * rng.lognormal(0.0, 0.05, DAYS)
    volume[0] *= 0.6  # New Year's Day
    by_profile = np.array([_OUTBOUND, _OUTBOUND, _INBOUND, _INBOUND, _P2P_WEEKDAY, _P2P_WEEKEND], dtype=np.float64)
    running = np.array(
        [[item.size * (item.starts <= day_of(d) <= item.ends) for item in CAMPAIGNS] for d in range(DAYS)]
    )
    reach = np.minimum(0.35, 2.5 / people.friends_count)
    imei = pc.binary_join_element_wise(
        "35", pa.array(rng.integers(10**12, 10**13, size=len(people))).cast(pa.string()), ""
    )
    return Caller(
        rows=rows,
        seed=seed,
        people=people,
        directory=directory,
        names={
            "service": pa.array(SERVICES),
            "direction": pa.array(DIRECTIONS),
            "purpose": pa.array(PURPOSES),
            "disposition": pa.array(DISPOSITIONS),
            "outcome": pa.array(OUTCOMES),
            "cell_id": pa.array(cell_names()),
            "campaign_id": pa.array([item.name for item in CAMPAIGNS]),
            "queue": pa.array(QUEUES),
            "agent_id": pa.array([f"A{number:03d}" for number in range(AGENTS)]),
            "note": pa.array(_NOTES),
            "handset_imei": imei,
        },
        day_ends=np.cumsum(volume) / volume.sum(),
        weekend=(weekdays >= 5).astype(np.int32),
        hours=Lotteries.of(by_profile, bits=14),
        callers=Lottery.of(people.activity, bits=22),
        contacts=Lottery.of(people.contact, bits=22),
        campaign_by_day=Lotteries.of(running),
        campaign_lists=tuple(
            Lottery(_listed(rng, people.contact ** (0.5 if item.kind == COLLECTIONS else 1.0), item.listed))
            for item in CAMPAIGNS
        ),
        foreign=Lottery.of(rng.lognormal(0.0, 1.0, directory.foreign.size), bits=18),
        friend_reach=1 / np.log1p(-reach),
    )


def cell_names() -> list[str]:
    return [f"C{number + 1:03d}" for number in range(sum(CELL_COUNTS))]


def _listed(rng: np.random.Generator, contact: Floats, share: float) -> Ints:
    """Tickets of the people on one campaign's list, in the list's own order."""
    order = rng.permutation(len(contact)).astype(np.int32)
    listed = order[: max(1, round(share * len(contact)))]
    return listed[tickets_for(contact[listed], bits=20)]


def _pursued(rng: np.random.Generator, listed: Lottery, day: Ints) -> Ints:
    """People of a list that is worked from top to bottom over the period, each of them within a week or so."""
    progress = (day + 7 * rng.random(len(day))) / (DAYS + 7)
    pursued: Ints = listed.tickets[(progress * len(listed.tickets)).astype(np.int64)]
    return pursued


def _first_of(rng: np.random.Generator, size: int, *chances: tuple[Floats | float, int], last: int) -> Ints:
    """For each row one of the codes with its chance, `last` with what remains."""
    drawn = rng.random(size)
    result = np.full(size, last, dtype=np.int32)
    low: Floats = np.zeros(size)
    for chance, code in chances:
        high = low + chance
        result[(low <= drawn) & (drawn < high)] = code
        low = high
    return result


def _of_campaign(rate: str) -> Floats:
    return np.array([getattr(item, rate) for item in CAMPAIGNS])


def _utc_ms(rng: np.random.Generator, day: Ints, hour: Ints) -> Any:
    """Milliseconds since 1970 of a local day and hour; an hour earlier in UTC from the day of summer time on."""
    start = _midnight(FIRST_DAY)
    second = rng.integers(3_600, size=len(day))
    clock = day.astype(np.int64) * 86_400 + hour.astype(np.int64) * 3_600 + second
    summer = clock >= SUMMER_TIME_FROM * 86_400 + 3_600
    return (start + clock - 3_600 * summer) * 1000


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _decimals(hundredths_of_a_penny: Ints) -> Any:
    """Amounts as Arrow decimals of four places (two 64-bit words each), without a Python object per row."""
    words = np.zeros((len(hundredths_of_a_penny), 2), dtype=np.int64)
    words[:, 0] = hundredths_of_a_penny
    return pa.Array.from_buffers(SCHEMA.field("price").type, len(words), [None, pa.py_buffer(words)])
