"""Compiled loops of contribution bounding; imported only when a kernel is first used.

The callers have checked every type, length and code: nothing here checks an index. Each loop releases the interpreter
lock, and each result is a function of its inputs alone, whatever the number of threads.
"""
# Numba infers the types of these functions; annotations would claim what nobody checks.
# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, PLR0917

from __future__ import annotations

import numpy as np
from numba import njit

# ---------------------------------------------------------------------------------------------------------------------
# One owner
# ---------------------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def count_rows(owner, rows_of):
    """Add one to `rows_of` for each row of a number."""
    for i in range(owner.size):
        number = owner[i]
        if number >= 0:
            rows_of[number] += 1


@njit(cache=True, nogil=True)
def place_rows(owner, cell, lot, base, low, cursor, placed_row, placed_cell, placed_lot):
    """Scatter the rows of the numbers from `low` on to where `cursor` points; a negative cursor skips the number."""
    numbers = cursor.size
    for i in range(owner.size):
        number = np.int64(owner[i]) - low
        if number < 0 or number >= numbers:
            continue
        place = cursor[number]
        if place < 0:
            continue
        cursor[number] = place + 1
        placed_row[place] = base + i
        placed_cell[place] = cell[i]
        placed_lot[place] = lot[i]


@njit(cache=True, nogil=True)
def place_kept(owner, cell, kept, chosen, base, low, cursor, placed_cell):
    """Scatter the cells of kept and chosen rows to where `cursor` points."""
    numbers = cursor.size
    everything = chosen.size == 0
    for i in range(owner.size):
        number = np.int64(owner[i]) - low
        if number < 0 or number >= numbers or not kept[base + i]:
            continue
        if everything or chosen[i]:
            place = cursor[number]
            cursor[number] = place + 1
            placed_cell[place] = cell[i]


@njit(cache=True, nogil=True)
def place_values(owner, cell, kept, value, valid, base, low, cursor, placed_cell, placed_value):
    """Scatter the cells and values of kept rows whose value is not NULL to where `cursor` points."""
    numbers = cursor.size
    everything = valid.size == 0
    for i in range(owner.size):
        number = np.int64(owner[i]) - low
        if number < 0 or number >= numbers or not kept[base + i]:
            continue
        if everything or valid[i]:
            place = cursor[number]
            cursor[number] = place + 1
            placed_cell[place] = cell[i]
            placed_value[place] = value[i]


@njit(cache=True, nogil=True)
def sink(heap, size, place):
    """Move the key at `place` down until no child is smaller."""
    key = heap[place]
    child = 2 * place + 1
    while child < size:
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[place] = heap[child]
        place = child
        child = 2 * place + 1
    heap[place] = key


@njit(cache=True, nogil=True)
def heapify(heap, size):
    for place in range(size // 2 - 1, -1, -1):
        sink(heap, size, place)


@njit(cache=True, nogil=True)
def choose_rows(starts, placed_row, placed_cell, placed_lot, cells, max_rows, max_groups, max_rows_per_group, kept):
    """Clear `kept` for the rows that the greedy admission in order of lot refuses, one number after another.

    The greedy admits the first `max_groups` groups it meets and the first rows of each; a refused row uses nothing. So
    the groups can be chosen first, by their smallest lot, then rows counted, and a heap is popped only where counting
    does not already decide, and only until nothing more can be admitted.
    """
    in_cell = np.zeros(cells, np.int64)
    taken = np.zeros(cells, np.int64)
    open_cell = np.zeros(cells, np.bool_)
    first = np.zeros(cells, np.uint64)
    longest = 0
    for s in range(starts.size - 1):
        longest = max(longest, starts[s + 1] - starts[s])
    heap = np.empty(longest, np.uint64)
    local = np.uint64(0xFFFFFFFF)
    for s in range(starts.size - 1):
        start = starts[s]
        rows = starts[s + 1] - start
        if rows == 0:
            continue
        groups = 0
        fullest = 0
        for i in range(rows):
            c = placed_cell[start + i]
            key = np.uint64(placed_lot[start + i]) << np.uint64(32) | np.uint64(i)
            if in_cell[c] == 0:
                groups += 1
                first[c] = key
            elif key < first[c]:
                first[c] = key
            in_cell[c] += 1
            fullest = max(fullest, in_cell[c])
        if rows > max_rows or groups > max_groups or fullest > max_rows_per_group:
            # Which groups: the first `max_groups` in order of their smallest lot.
            if groups > max_groups:
                size = 0
                for i in range(rows):
                    c = placed_cell[start + i]
                    if (first[c] & local) == np.uint64(i):
                        heap[size] = first[c]
                        size += 1
                heapify(heap, size)
                for _ in range(max_groups):
                    open_cell[placed_cell[start + np.int64(heap[0] & local)]] = True
                    size -= 1
                    heap[0] = heap[size]
                    sink(heap, size, 0)
            else:
                for i in range(rows):
                    open_cell[placed_cell[start + i]] = True
            # How many rows the group bounds alone would keep.
            reachable = 0
            for i in range(rows):
                c = placed_cell[start + i]
                if open_cell[c] and (first[c] & local) == np.uint64(i):
                    reachable += min(in_cell[c], max_rows_per_group)
            total_binds = reachable > max_rows
            # Rows of closed groups go. Rows of a group within its bound stay, unless the total binds.
            size = 0
            pending = max_rows if total_binds else reachable
            for i in range(rows):
                c = placed_cell[start + i]
                if not open_cell[c]:
                    kept[placed_row[start + i]] = False
                elif total_binds or in_cell[c] > max_rows_per_group:
                    heap[size] = np.uint64(placed_lot[start + i]) << np.uint64(32) | np.uint64(i)
                    size += 1
                else:
                    pending -= 1
            if size > 0:
                heapify(heap, size)
                while pending > 0:
                    i = np.int64(heap[0] & local)
                    c = placed_cell[start + i]
                    if taken[c] < max_rows_per_group:
                        taken[c] += 1
                        pending -= 1
                    else:
                        kept[placed_row[start + i]] = False
                    size -= 1
                    heap[0] = heap[size]
                    sink(heap, size, 0)
                for i in range(size):
                    kept[placed_row[start + np.int64(heap[i] & local)]] = False
        for i in range(rows):
            c = placed_cell[start + i]
            in_cell[c] = 0
            taken[c] = 0
            open_cell[c] = False


@njit(cache=True, nogil=True)
def add_counts(cell, kept, chosen, base, totals):
    """Count kept rows per cell; with `chosen`, only rows where it holds."""
    if chosen.size == 0:
        for i in range(cell.size):
            totals[cell[i]] += kept[base + i]
    else:
        for i in range(cell.size):
            totals[cell[i]] += kept[base + i] & chosen[i]


@njit(cache=True, nogil=True)
def add_values(cell, kept, value, valid, base, totals):
    """Sum the values of kept rows per cell."""
    if valid.size == 0:
        for i in range(cell.size):
            if kept[base + i]:
                totals[cell[i]] += value[i]
    else:
        for i in range(cell.size):
            if kept[base + i] & valid[i]:
                totals[cell[i]] += value[i]


@njit(cache=True, nogil=True)
def add_histogram(cell, kept, value, valid, base, buckets, totals):
    """Count kept rows per cell and bucket; a bucket outside the range counts nowhere."""
    everything = valid.size == 0
    for i in range(cell.size):
        bucket = value[i]
        if kept[base + i] and (everything or valid[i]) and bucket >= 0 and bucket < buckets:
            totals[np.int64(cell[i]) * buckets + bucket] += 1


@njit(cache=True, nogil=True)
def add_clamped(owner, cell, value, valid, low, high, totals):
    """Add each row without an owner as a contribution of its own, clamped alone."""
    everything = valid.size == 0
    for i in range(cell.size):
        if owner[i] < 0 and (everything or valid[i]):
            totals[cell[i]] += min(max(np.int64(value[i]), low), high)


@njit(cache=True, nogil=True)
def count_owners(ends, placed_cell, begins, at_least, totals):
    """Count each number once in each cell with `at_least` of its rows; number s has places `begins[s]` to `ends[s]`."""
    seen = np.full(totals.size, -1, np.int64)
    rows = np.zeros(totals.size, np.int64)
    for s in range(ends.size):
        for p in range(begins[s], ends[s]):
            c = placed_cell[p]
            if seen[c] != s:
                seen[c] = s
                rows[c] = 0
            rows[c] += 1
            totals[c] += rows[c] == at_least


@njit(cache=True, nogil=True)
def sum_clamped(ends, placed_cell, placed_value, begins, low, high, totals):
    """Sum each number's values per cell, clamp that sum, and add it to the cell's total."""
    seen = np.full(totals.size, -1, np.int64)
    sums = np.zeros(totals.size, np.int64)
    for s in range(ends.size):
        for p in range(begins[s], ends[s]):
            c = placed_cell[p]
            if seen[c] != s:
                seen[c] = s
                sums[c] = 0
            sums[c] += placed_value[p]
        for p in range(begins[s], ends[s]):
            c = placed_cell[p]
            if seen[c] == s:
                seen[c] = -1
                totals[c] += min(max(sums[c], low), high)


# ---------------------------------------------------------------------------------------------------------------------
# Two owners
# ---------------------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def greedy_rows(first, second, cell, cell_low, second_offset, vertices, used, capacity_first, capacity_second, totals):
    """Keep each row whose owners all have a free slot in its cell; `used` holds the slots taken, cell by cell.

    No branch depends on whether a row is kept: it could not be predicted. An owner that is nobody reads and writes slot
    0 of the cell unchanged.
    """
    cells = totals.size
    for i in range(cell.size):
        c = np.int64(cell[i]) - cell_low
        if c < 0 or c >= cells:
            continue
        a = np.int64(first[i])
        b = np.int64(second[i])
        has_first = a >= 0
        has_second = b >= 0
        at_first = c * vertices + max(a, 0)
        at_second = c * vertices + (b + second_offset if has_second else 0)
        keep = ((used[at_first] < capacity_first[c]) | (not has_first)) & (
            (used[at_second] < capacity_second[c]) | (not has_second)
        )
        used[at_first] += keep & has_first
        used[at_second] += keep & has_second & ((at_first != at_second) | (not has_first))
        totals[c] += keep


@njit(cache=True, nogil=True)
def count_used(used, vertices, at_least, totals):
    """Count, per cell, the vertices with at least `at_least` slots taken."""
    for c in range(totals.size):
        found = 0
        for p in range(c * vertices, (c + 1) * vertices):
            found += used[p] >= at_least
        totals[c] = found


@njit(cache=True, nogil=True)
def value_range(value, valid):
    """Give the least and the largest value that is not NULL, and 0."""
    least = np.int64(0)
    largest = np.int64(0)
    if valid.size == 0:
        for i in range(value.size):
            least = min(least, value[i])
            largest = max(largest, value[i])
    else:
        for i in range(value.size):
            v = value[i] if valid[i] else np.int64(0)
            least = min(least, v)
            largest = max(largest, v)
    return least, largest


@njit(cache=True, nogil=True)
def pack_rows(first, second, cell, value, valid, sign, cell_low, ends, values, cells_of, rows_in, totals):
    """Store the rows that can matter to a sum, and give how many: in a cell, not NULL, sign * value > 0.

    A row that nobody owns is never refused: its value goes straight to the total.
    """
    cells = totals.size
    everything = valid.size == 0
    size = 0
    for i in range(cell.size):
        c = np.int64(cell[i]) - cell_low
        v = sign * value[i]
        if c < 0 or c >= cells or v <= 0 or not (everything or valid[i]):
            continue
        a = first[i]
        b = second[i]
        if a < 0 and b < 0:
            totals[c] += v
            continue
        ends[size] = np.uint64(np.uint32(a)) << np.uint64(32) | np.uint64(np.uint32(b))
        values[size] = v
        cells_of[size] = c
        rows_in[c] += 1
        size += 1
    return size


@njit(cache=True, nogil=True)
def place_by_cell(ends, values, cells_of, low, cursor, placed_ends, placed_values):
    """Scatter the rows of the cells from `low` on to where `cursor` points; their order within a cell stays."""
    cells = cursor.size
    for i in range(cells_of.size):
        c = np.int64(cells_of[i]) - low
        if c < 0 or c >= cells:
            continue
        place = cursor[c]
        cursor[c] = place + 1
        placed_ends[place] = ends[i]
        placed_values[place] = values[i]


@njit(cache=True, nogil=True)
def sort_descending(ends, values, other_ends, other_values):
    """Sort rows by value, largest first, equal values in their order; say whether the result is in the other arrays.

    A counting sort of one digit after another, the least significant first: one pass where values span at most 4096.
    """
    largest = np.uint32(0)
    for i in range(values.size):
        largest = max(largest, values[i])
    bits = 0
    while bits < 32 and (np.int64(largest) >> bits) > 0:
        bits += 1
    passes = (bits + 11) // 12
    if passes == 0:
        return False
    width = (bits + passes - 1) // passes
    mask = np.uint32((1 << width) - 1)
    places = np.empty(1 << width, np.int64)
    swapped = False
    for turn in range(passes):
        shift = np.uint32(turn * width)
        from_ends, from_values, to_ends, to_values = ends, values, other_ends, other_values
        if swapped:
            from_ends, from_values, to_ends, to_values = other_ends, other_values, ends, values
        places[:] = 0
        for i in range(values.size):
            places[np.int64((from_values[i] >> shift) & mask)] += 1
        place = 0
        for digit in range(places.size - 1, -1, -1):
            rows = places[digit]
            places[digit] = place
            place += rows
        for i in range(values.size):
            digit = np.int64((from_values[i] >> shift) & mask)
            place = places[digit]
            places[digit] = place + 1
            to_ends[place] = from_ends[i]
            to_values[place] = from_values[i]
        swapped = not swapped
    return swapped


@njit(cache=True, nogil=True)
def greedy_values(ends, values, used, capacity):
    """Sum the values kept by the greedy in one cell, then clear the slots it used."""
    total = np.int64(0)
    low = np.uint64(0xFFFFFFFF)
    for i in range(ends.size):
        a = np.int64(np.int32(ends[i] >> np.uint64(32)))
        b = np.int64(np.int32(ends[i] & low))
        has_first = a >= 0
        has_second = b >= 0
        at_first = max(a, 0)
        at_second = max(b, 0)
        keep = ((used[at_first] < capacity) | (not has_first)) & ((used[at_second] < capacity) | (not has_second))
        used[at_first] += keep & has_first
        used[at_second] += keep & has_second & (a != b)
        total += np.int64(values[i]) * keep
    for i in range(ends.size):
        used[max(np.int64(np.int32(ends[i] >> np.uint64(32))), 0)] = 0
        used[max(np.int64(np.int32(ends[i] & low)), 0)] = 0
    return total


@njit(cache=True, nogil=True)
def sum_cells(starts, ends, values, other_ends, other_values, used, capacity, totals):
    """Run the greedy by falling value in each cell; cell c has the rows from `starts[c]` to `starts[c + 1]`."""
    for c in range(totals.size):
        low = starts[c]
        high = starts[c + 1]
        if low == high:
            continue
        swapped = sort_descending(ends[low:high], values[low:high], other_ends[low:high], other_values[low:high])
        if swapped:
            totals[c] += greedy_values(other_ends[low:high], other_values[low:high], used, capacity)
        else:
            totals[c] += greedy_values(ends[low:high], values[low:high], used, capacity)


# ---------------------------------------------------------------------------------------------------------------------
# Pairs: a hash table of (cell, pair) with open addressing; its size is a power of two, and an empty slot has cell -1
# ---------------------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def pair_of(first, second):
    """Both codes in one integer."""
    return np.uint64(np.uint32(first)) << np.uint64(32) | np.uint64(np.uint32(second))


@njit(cache=True, nogil=True)
def find_pair(pair, cell, pairs, cells_of):
    """Give the slot that holds the pair, or the empty one where it belongs (splitmix64 spreads neighbouring codes)."""
    x = pair + np.uint64(cell + 1) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    last = pairs.size - 1
    slot = np.int64((x ^ (x >> np.uint64(31))) & np.uint64(last))
    while cells_of[slot] >= 0 and (cells_of[slot] != cell or pairs[slot] != pair):
        slot = (slot + 1) & last
    return slot


@njit(cache=True, nogil=True)
def move_pairs(pairs, cells_of, to_pairs, to_cells):
    """Put every pair into a larger table."""
    for i in range(pairs.size):
        if cells_of[i] >= 0:
            slot = find_pair(pairs[i], cells_of[i], to_pairs, to_cells)
            to_pairs[slot] = pairs[i]
            to_cells[slot] = cells_of[i]


@njit(cache=True, nogil=True)
def first_pairs(first, second, cell, pairs, cells_of, new):
    """Set `new` for rows in a cell whose pair is not in the table yet, put it there, and give how many these are."""
    found = 0
    for i in range(cell.size):
        new[i] = False
        if cell[i] < 0:
            continue
        pair = pair_of(first[i], second[i])
        slot = find_pair(pair, cell[i], pairs, cells_of)
        if cells_of[slot] < 0:
            pairs[slot] = pair
            cells_of[slot] = cell[i]
            new[i] = True
            found += 1
    return found


@njit(cache=True, nogil=True)
def greedy_pairs(first, second, cell, cell_low, vertices, used, capacity, pairs, cells_of, totals):
    """As greedy_rows, but a pair that was kept is not kept again; the table holds the kept ones. Give how many are new.

    A pair that was refused is not remembered: one of its owners was full then, and stays full.
    """
    cells = totals.size
    found = 0
    for i in range(cell.size):
        c = np.int64(cell[i]) - cell_low
        if c < 0 or c >= cells:
            continue
        a = np.int64(first[i])
        b = np.int64(second[i])
        if a >= 0 and used[c * vertices + a] >= capacity[c]:
            continue
        if b >= 0 and used[c * vertices + b] >= capacity[c]:
            continue
        pair = pair_of(first[i], second[i])
        slot = find_pair(pair, cell[i], pairs, cells_of)
        if cells_of[slot] >= 0:
            continue
        pairs[slot] = pair
        cells_of[slot] = cell[i]
        found += 1
        totals[c] += 1
        if a >= 0:
            used[c * vertices + a] += 1
        if b >= 0 and b != a:
            used[c * vertices + b] += 1
    return found
