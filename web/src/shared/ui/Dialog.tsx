import { X } from "lucide-react";
import { Dialog as Radix } from "radix-ui";
import type { ReactNode } from "react";
import { HaltInside } from "@/shell/halt-inside";
import { cx } from "./cx";

type Props = {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  title: string;
  description?: string;
  children: ReactNode;
  wide?: boolean;
  /** The halt dialog itself needs no way to a halt, and stands above any other, which is dimmed. */
  withoutHalt?: boolean;
  onOpenAutoFocus?: (event: Event) => void;
};

/** A dialog on a desk, a sheet from the bottom on a phone. A modal makes everything else inert, so halt is inside too. */
export function Dialog({
  open,
  onOpenChange,
  title,
  description,
  children,
  wide,
  withoutHalt,
  onOpenAutoFocus,
}: Props) {
  const [under, above] = withoutHalt ? ["--z-dialog", "--z-halt"] : ["--z-overlay", "--z-dialog"];
  return (
    <Radix.Root open={open} onOpenChange={onOpenChange}>
      <Radix.Portal>
        <Radix.Overlay className="fixed inset-0 bg-bg/70" style={{ zIndex: `var(${under})` }} />
        <Radix.Content
          {...(onOpenAutoFocus ? { onOpenAutoFocus } : {})}
          {...(description ? {} : { "aria-describedby": undefined })}
          style={{ zIndex: `var(${above})` }}
          className={cx(
            "fixed flex max-h-[92dvh] flex-col overflow-hidden border border-line bg-surface",
            "inset-x-0 bottom-0 rounded-t-panel pb-[env(safe-area-inset-bottom)]",
            "tablet:inset-x-auto tablet:bottom-auto tablet:top-[8dvh] tablet:left-1/2 tablet:-translate-x-1/2 tablet:rounded-panel",
            wide ? "tablet:w-[min(880px,92vw)]" : "tablet:w-[min(560px,92vw)]",
          )}
        >
          <header className="flex items-center gap-2 border-b border-line px-4 py-2">
            <Radix.Title className="mr-auto text-section font-semibold">{title}</Radix.Title>
            {withoutHalt ? null : <HaltInside />}
            <Radix.Close
              aria-label="Close"
              className="grid size-8 place-items-center rounded-control text-muted hover:bg-raised hover:text-fg max-desk:size-11"
            >
              <X size={16} aria-hidden />
            </Radix.Close>
          </header>
          {description ? <Radix.Description className="px-4 pt-3 text-muted">{description}</Radix.Description> : null}
          <div className="min-h-0 overflow-y-auto px-4 py-3">{children}</div>
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}
