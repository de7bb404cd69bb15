import { OctagonX } from "lucide-react";
import { createContext, useContext } from "react";

/** How anything asks for the halt dialog; the shell provides it. */
export const HaltContext = createContext<((account?: string) => void) | null>(null);

/** The way to a halt from within a modal, where everything behind it is inert. */
export function HaltInside() {
  const ask = useContext(HaltContext);
  if (ask === null) return null;
  return (
    <button
      type="button"
      onClick={() => ask()}
      className="inline-flex h-8 items-center gap-1.5 rounded-control border border-safety px-2.5 font-semibold text-safety hover:bg-safety hover:text-on-safety max-desk:h-11 max-desk:min-w-11"
    >
      <OctagonX size={16} aria-hidden /> Halt
    </button>
  );
}
