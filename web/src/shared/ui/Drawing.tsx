import { CatchBoundary } from "@tanstack/react-router";
import { type ReactNode, Suspense } from "react";
import { Failed } from "./Panel";

/** What a file of its own draws. Where that does not come, or fails, it is said in its place, and the page stays. */
export function Drawing({ children }: { children: ReactNode }) {
  return (
    <CatchBoundary getResetKey={() => "drawing"} errorComponent={NotDrawn}>
      <Suspense fallback={null}>{children}</Suspense>
    </CatchBoundary>
  );
}

function NotDrawn() {
  return <Failed error={new Error("This chart could not be loaded.")} retry={() => location.reload()} />;
}
