import { useMutation } from "@tanstack/react-query";
import { createContext, type ReactNode, Suspense, useContext, useState } from "react";
import { type Done, give, type Preview } from "@/features/command";
import { newKey } from "@/shared/api/client";
import { ahead } from "@/shared/ui/ahead";
import { useScope } from "./scope";

const { Part: Confirm, fetched } = ahead(() =>
  import("@/features/Confirm").then((found) => ({ default: found.Confirm })),
);
export const confirms = fetched;
const Context = createContext<((preview: Preview) => void) | null>(null);

/** Previews are confirmed above the pages: what a page shows may change while one is open. */
export function ConfirmProvider({ children }: { children: ReactNode }) {
  const [preview, setPreview] = useState<Preview | null>(null);
  return (
    <Context.Provider value={setPreview}>
      {children}
      {preview ? (
        <Suspense fallback={null}>
          <Confirm key={preview.preview_id} preview={preview} onClose={() => setPreview(null)} />
        </Suspense>
      ) : null}
    </Context.Provider>
  );
}

export function useConfirm(): (preview: Preview) => void {
  const found = useContext(Context);
  if (found === null) throw new Error("outside of the shell");
  return found;
}

/** Gives commands: what must be confirmed is shown, anything else is done. */
export function useCommand(onDone?: (done: Done) => void) {
  const { firm } = useScope();
  const show = useConfirm();
  return useMutation({
    mutationFn: (command: string) => give(command, firm, newKey()),
    onSuccess: (given) => (given.kind === "preview" ? show(given.preview) : onDone?.(given.done)),
  });
}
