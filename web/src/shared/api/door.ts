/** Whether the session that this page was opened with has ended. */
const listeners = new Set<() => void>();
let ended = false;

export const door = {
  subscribe: (listener: () => void) => {
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  },
  isShut: () => ended,
  set: (shut: boolean) => {
    if (shut === ended) return;
    ended = shut;
    for (const listener of listeners) listener();
  },
};
