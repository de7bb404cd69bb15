/** A new build waits until somebody takes it: never under an open dialog or an editor that has changes. */
type Listener = () => void;
let waiting: ServiceWorker | null = null;
const listeners = new Set<Listener>();

export function startWorker(): void {
  if (!("serviceWorker" in navigator) || import.meta.env.DEV) return;
  window.addEventListener("load", () => {
    void navigator.serviceWorker.register("/sw.js").then((found?: ServiceWorkerRegistration) => {
      if (found === undefined) return;
      const look = () => found.waiting && navigator.serviceWorker.controller && became(found.waiting);
      look();
      found.addEventListener("updatefound", () => found.installing?.addEventListener("statechange", look));
      setInterval(() => void found.update().catch(() => undefined), 15 * 60_000);
    });
    let reloaded = false;
    navigator.serviceWorker.addEventListener("controllerchange", () => {
      if (waiting === null || reloaded) return;
      reloaded = true;
      location.reload();
    });
  });
}

function became(worker: ServiceWorker): void {
  waiting = worker;
  for (const listener of listeners) listener();
}

export const update = {
  subscribe: (listener: Listener) => {
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  },
  waits: () => waiting !== null,
  take: () => waiting?.postMessage({ type: "SKIP_WAITING" }),
};
