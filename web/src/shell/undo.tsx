import { useSyncExternalStore } from "react";
import { Button } from "@/shared/ui/Button";

const STAYS_MS = 8_000;
type Offer = { said: string; undo: () => void };
let offer: Offer | null = null;
let timer: ReturnType<typeof setTimeout> | undefined;
const listeners = new Set<() => void>();

function become(next: Offer | null): void {
  clearTimeout(timer);
  offer = next;
  if (next) timer = setTimeout(() => become(null), STAYS_MS);
  for (const listener of listeners) listener();
}

/** Says what was done on this screen, and takes it back for eight seconds; nothing that the server did. */
export function offerUndo(said: string, undo: () => void): void {
  become({ said, undo });
}

export function Undo() {
  const now = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => offer,
  );
  return (
    <div
      role="status"
      className="pointer-events-none fixed inset-x-0 bottom-16 flex justify-center px-4 desk:bottom-6"
      style={{ zIndex: "var(--z-overlay)" }}
    >
      {now ? (
        <p className="pointer-events-auto flex items-center gap-3 rounded-control border border-line bg-raised py-1 pr-1 pl-3">
          {now.said}
          <Button
            onClick={() => {
              become(null);
              now.undo();
            }}
          >
            Undo
          </Button>
        </p>
      ) : null}
    </div>
  );
}
