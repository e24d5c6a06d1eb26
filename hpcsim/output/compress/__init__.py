"""Compression of arrays: codecs by name, each of which turns an array into a stream that describes itself."""

from __future__ import annotations

from hpcsim.registry import Registry

CODECS = Registry(
    "codec",
    {
        "none": "hpcsim.output.compress.lossless:NONE",
        "deflate": "hpcsim.output.compress.lossless:DEFLATE",
        "zstd": "hpcsim.output.compress.zstd:ZSTD",
        "blosc": "hpcsim.output.compress.blosc:BLOSC",
        "bitshuffle": "hpcsim.output.compress.blosc:BITSHUFFLE",
        "blosc2": "hpcsim.output.compress.filters:BLOSC2",
        "sparse": "hpcsim.output.compress.sparse:SPARSE",
        "dictionary": "hpcsim.output.compress.dictionary:DICTIONARY",
        "wavelet": "hpcsim.output.compress.wavelet:WAVELET",
        "zfp": "hpcsim.output.compress.filters:ZFP",
        "sz3": "hpcsim.output.compress.filters:SZ3",
    },
)
