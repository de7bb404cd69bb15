import { useEffect, useState } from "react";

/** Whether the browser has had time for what is first: charts are the heaviest part of a page, and the last one. */
export function useIdle(): boolean {
  const [ready, setReady] = useState(false);
  useEffect(() => {
    const idle = window.requestIdleCallback?.(() => setReady(true), { timeout: 1_500 });
    if (idle === undefined) setReady(true);
    return () => (idle === undefined ? undefined : window.cancelIdleCallback(idle));
  }, []);
  return ready;
}
