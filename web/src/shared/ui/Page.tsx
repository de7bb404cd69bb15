import { type ReactNode, useEffect } from "react";

/** A page's title, said to the browser too. */
export function Page({ title, aside, children }: { title: string; aside?: ReactNode; children: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · Regime Trading`;
  }, [title]);
  return (
    <>
      <div className="mb-4 flex min-h-8 flex-wrap items-center gap-3">
        <h1 className="mr-auto text-figure font-semibold">{title}</h1>
        {aside}
      </div>
      {children}
    </>
  );
}
