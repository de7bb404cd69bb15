import type { ReactNode } from "react";

export function Door({ title, children }: { title: string; children: ReactNode }) {
  return (
    <main className="grid min-h-full place-items-center p-4" data-ready="true">
      <div className="w-full max-w-sm rounded-panel border border-line bg-surface p-6">
        <p className="mb-6 flex items-center gap-2 font-semibold">
          <img src="/icon.svg" alt="" width={24} height={24} /> Regime Trading
        </p>
        <h1 className="mb-1 text-figure font-semibold">{title}</h1>
        <p className="mb-5 text-muted">
          {location.host}
          {location.protocol === "http:" ? " · this machine only" : ""}
        </p>
        {children}
      </div>
    </main>
  );
}
