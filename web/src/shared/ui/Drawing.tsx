import { CatchBoundary } from "@tanstack/react-router";
import { type ReactNode, Suspense, useEffect, useRef, useState } from "react";
import { Failed } from "./Panel";

type Props = { children: ReactNode /** The room it has, before it is there as well. */; className: string };

/**
 * What a file of its own draws: the heaviest part of a page and the last one. Where it does not come, or fails, it is
 * said in its place, and the page stays.
 */
export function Drawing({ children, className }: Props) {
  return (
    <Nearby className={className}>
      <CatchBoundary getResetKey={() => "drawing"} errorComponent={NotDrawn}>
        <Suspense fallback={null}>{children}</Suspense>
      </CatchBoundary>
    </Nearby>
  );
}

function NotDrawn() {
  return <Failed error={new Error("This chart could not be loaded.")} retry={() => location.reload()} />;
}

/** Made once somebody has come near it and the browser has had time for what is first. */
export function Nearby({ children, className }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [due, setDue] = useState(false);
  useEffect(() => {
    if (box.current === null) return;
    let idle = 0;
    const watch = new IntersectionObserver((entries) => {
      if (!entries.some((one) => one.isIntersecting)) return;
      watch.disconnect();
      if (window.requestIdleCallback) idle = window.requestIdleCallback(() => setDue(true), { timeout: 1_500 });
      else setDue(true);
    });
    watch.observe(box.current);
    return () => {
      watch.disconnect();
      if (idle) window.cancelIdleCallback(idle);
    };
  }, []);
  return (
    <div ref={box} className={className}>
      {due ? children : null}
    </div>
  );
}
