import type { ReactNode } from "react";

/** A strip of figures, each under its name. */
export function Figures({ label, children }: { label: string; children: ReactNode }) {
  return (
    <section
      aria-label={label}
      className="flex flex-wrap gap-x-8 gap-y-3 rounded-panel border border-line bg-surface px-4 py-3"
    >
      {children}
    </section>
  );
}

export function One({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <div className="text-meta text-muted">{name}</div>
      <div className="text-section font-semibold">{children}</div>
    </div>
  );
}
