"""Loops that move boxes of sites between flat arrays; imported only when they must be compiled.

Every row is cut into ``parts`` runs of lines, so that one large row still keeps all threads busy. Offsets are unsigned
inside the loops: a signed index would be tested for wrap-around at each site and keep the compiler from using wide
loads.
"""

from __future__ import annotations

import numpy as np
from numba import prange


def move_rows(dst, src, table, dst_strides, src_strides, dst_packed, src_packed, parts):  # type: ignore[no-untyped-def]
    """Copy rows; a packed side takes its strides from the extents of the row."""
    one = np.uint64(1)
    for task in prange(table.shape[0] * parts):
        row = task // parts
        part = task - row * parts
        n1, n2, n3 = table[row, 3], table[row, 4], table[row, 5]
        lines = table[row, 2] * n1 * n2
        first, last = lines * part // parts, lines * (part + 1) // parts
        s0, s1, s2, s3 = src_strides[0], src_strides[1], src_strides[2], np.uint64(src_strides[3])
        d0, d1, d2, d3 = dst_strides[0], dst_strides[1], dst_strides[2], np.uint64(dst_strides[3])
        if src_packed:
            s0, s1, s2, s3 = n1 * n2 * n3, n2 * n3, n3, one
        if dst_packed:
            d0, d1, d2, d3 = n1 * n2 * n3, n2 * n3, n3, one
        i2 = first % n2
        i1 = first // n2 % n1
        i0 = first // (n2 * n1)
        for _ in range(first, last):
            s = np.uint64(table[row, 0] + i0 * s0 + i1 * s1 + i2 * s2)
            d = np.uint64(table[row, 1] + i0 * d0 + i1 * d1 + i2 * d2)
            if s3 == one and d3 == one:
                for i in range(np.uint64(n3)):
                    dst[d + i] = src[s + i]
            else:
                for i in range(np.uint64(n3)):
                    dst[d + i * d3] = src[s + i * s3]
            i2 += 1
            if i2 == n2:
                i2 = 0
                i1 += 1
                if i1 == n1:
                    i1 = 0
                    i0 += 1


def add_rows(dst, buffer, table, strides):  # type: ignore[no-untyped-def]
    """Add packed rows into the field, strictly in order: a site may be in several rows."""
    for row in range(table.shape[0]):
        source = np.uint64(table[row, 0])
        step = np.uint64(strides[3])
        for i0 in range(table[row, 2]):
            for i1 in range(table[row, 3]):
                for i2 in range(table[row, 4]):
                    d = np.uint64(table[row, 1] + i0 * strides[0] + i1 * strides[1] + i2 * strides[2])
                    for i in range(np.uint64(table[row, 5])):
                        dst[d + i * step] += buffer[source + i]
                    source += np.uint64(table[row, 5])


def affine_rows(dst, table, mirror, a, b, strides, parts):  # type: ignore[no-untyped-def]
    """Fill sites from sites ``mirror[row]`` away: ``a[row] * inner + b[row]``."""
    for task in prange(table.shape[0] * parts):
        row = task // parts
        part = task - row * parts
        n1, n2, n3 = table[row, 3], table[row, 4], table[row, 5]
        lines = table[row, 2] * n1 * n2
        step = np.uint64(strides[3])
        for line in range(lines * part // parts, lines * (part + 1) // parts):
            i0, i1, i2 = line // (n2 * n1), line // n2 % n1, line % n2
            site = table[row, 1] + i0 * strides[0] + i1 * strides[1] + i2 * strides[2]
            d = np.uint64(site)
            s = np.uint64(site + mirror[row])
            for i in range(np.uint64(n3)):
                dst[d + i * step] = a[row] * dst[s + i * step] + b[row]


def affine_value_rows(dst, table, mirror, a, values, value_offsets, strides, parts):  # type: ignore[no-untyped-def]
    """The same with one added value per site, packed row after row."""
    for task in prange(table.shape[0] * parts):
        row = task // parts
        part = task - row * parts
        n1, n2, n3 = table[row, 3], table[row, 4], table[row, 5]
        lines = table[row, 2] * n1 * n2
        step = np.uint64(strides[3])
        for line in range(lines * part // parts, lines * (part + 1) // parts):
            i0, i1, i2 = line // (n2 * n1), line // n2 % n1, line % n2
            site = table[row, 1] + i0 * strides[0] + i1 * strides[1] + i2 * strides[2]
            d = np.uint64(site)
            s = np.uint64(site + mirror[row])
            v = np.uint64(value_offsets[row] + line * n3)
            for i in range(np.uint64(n3)):
                dst[d + i * step] = a[row] * dst[s + i * step] + values[v + i]
