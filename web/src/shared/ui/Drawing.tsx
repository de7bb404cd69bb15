import { CatchBoundary } from "@tanstack/react-router";
import { type ReactNode, type RefObject, Suspense, useEffect, useRef, useState } from "react";
import { Failed } from "./Panel";

type Props = { children: ReactNode /** The room it has, before it is there as well. */; className: string };

/**
 * What a file of its own draws: the heaviest part of a page and the last one, once somebody has come near it. Where it
 * does not come, or fails, it is said in its place, and the page stays.
 */
export function Drawing({ children, className }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const due = useDue(box);
  return (
    <div ref={box} className={className}>
      {due ? (
        <CatchBoundary getResetKey={() => "drawing"} errorComponent={NotDrawn}>
          <Suspense fallback={null}>{children}</Suspense>
        </CatchBoundary>
      ) : null}
    </div>
  );
}

function NotDrawn() {
  return <Failed error={new Error("This chart could not be loaded.")} retry={() => location.reload()} />;
}

/** Whether a box has come into sight and the browser has had time for what is first. */
function useDue(box: RefObject<HTMLDivElement | null>): boolean {
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
  }, [box]);
  return due;
}
