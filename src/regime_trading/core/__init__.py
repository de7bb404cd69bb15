"""The words: frozen schemas, rule ids, canonical bytes and ports. No I/O; imports nothing of ours."""
