import { type ComponentType, lazy } from "react";

type Module<P> = { default: ComponentType<P> };

/**
 * A part with a file of its own, and what fetches that before somebody asks for it. A promise is waited for even where
 * the file is there, and the place stays empty for a moment; of one that is there it is told at once.
 */
export function ahead<P>(load: () => Promise<Module<P>>) {
  let here: Module<P> | undefined;
  const fetched = async () => {
    here = await load();
    return here;
  };
  // biome-ignore lint/suspicious/noThenProperty: it is one that has its value already
  const atOnce = () => ({ then: (take: (found: Module<P> | undefined) => void) => take(here) });
  const Part = lazy(() => (here === undefined ? fetched() : (atOnce() as unknown as Promise<Module<P>>)));
  return { Part, fetched };
}
