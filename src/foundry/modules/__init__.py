"""The swappable parts. One folder a slot, one file a kind: `model.attention.kind: gqa` is `attention/gqa.py`.

Shapes, here and in every part: P population (may be absent), B batch, T time, D width, H heads, K key/value heads,
E head dim, F hidden, V vocabulary. Parameters may carry a leading P; parts index trailing dimensions only and never
mix members. A part may not: read targets, keep state between calls, look at the batch as a whole, see the future.
"""
