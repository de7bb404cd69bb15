"""The rules: pure functions over ``[accounts, assets]`` arrays, one file per guard, one function per rule."""
