/** A new build waits until somebody takes it: never under an open dialog or an editor that has changes. */
type Listener = () => void;
let waiting: ServiceWorker | null = null;
let old = false;
let taken = false;
const listeners = new Set<Listener>();

export function startWorker(): void {
  if (!("serviceWorker" in navigator) || import.meta.env.DEV) return;
  window.addEventListener("load", () => {
    navigator.serviceWorker
      .register("/sw.js")
      .then((found?: ServiceWorkerRegistration) => {
        if (found === undefined) return;
        const look = () => found.waiting && navigator.serviceWorker.controller && became(found.waiting);
        look();
        found.addEventListener("updatefound", () => found.installing?.addEventListener("statechange", look));
        setInterval(() => void found.update().catch(() => undefined), 15 * 60_000);
      })
      .catch(() => undefined); // the page is all there without it, but for the time without a network
    // another tab took it: this one is not loaded anew under whoever is at it
    navigator.serviceWorker.addEventListener("controllerchange", () => {
      if (taken) location.reload();
      else if (waiting !== null) update.gone();
    });
  });
}

/** Whether a reload would take something away from somebody: a dialog, or what is marked as not kept yet. */
export function isBusy(): boolean {
  return document.querySelector("[role='dialog'], [data-unsaved='true']") !== null;
}

function became(worker: ServiceWorker): void {
  waiting = worker;
  tell();
}

function tell(): void {
  for (const listener of listeners) listener();
}

export const update = {
  subscribe: (listener: Listener) => {
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  },
  waits: () => waiting !== null || old,
  /** What this page was made of is not served any more. */
  gone: () => {
    old = true;
    tell();
  },
  /** Load it, unless somebody is at something; says whether it does. */
  take: (): boolean => {
    if (isBusy()) return false;
    if (old || waiting === null) {
      location.reload();
    } else {
      taken = true;
      waiting.postMessage({ type: "SKIP_WAITING" });
    }
    return true;
  },
};

const AGAIN_MS = 60_000;

/**
 * A file did not come: where the server has another build by now, load that one, once a minute at most. Where the
 * network is gone or the build is the same, the page stays: nobody loses what is open to a request that failed. Nor
 * under what somebody is at: there the page says that it is old.
 */
export async function renew(reload: () => void = () => location.reload()): Promise<boolean> {
  const ours = document.querySelector<HTMLScriptElement>("script[type='module'][src]")?.getAttribute("src");
  // what the worker keeps is asked for by its bare name: this is the server's
  const answer = await fetch("/index.html?fresh", { cache: "no-store" }).catch(() => null);
  if (!ours || !answer?.ok || (await answer.text()).includes(ours)) return false;
  if (isBusy()) {
    update.gone();
    return false;
  }
  const at = Number(sessionStorage.getItem("regime.reloaded") ?? 0);
  if (Date.now() - at < AGAIN_MS) return false;
  sessionStorage.setItem("regime.reloaded", String(Date.now()));
  reload();
  return true;
}
