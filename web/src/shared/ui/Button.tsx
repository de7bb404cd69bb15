import { type ButtonHTMLAttributes, forwardRef } from "react";
import { cx } from "./cx";

type Kind = "plain" | "primary" | "quiet" | "safety";
export type ButtonProps = ButtonHTMLAttributes<HTMLButtonElement> & {
  kind?: Kind;
  /** Why it cannot be used; shown, and read to whoever cannot see it. */
  why?: string | undefined;
  /** The command it equals. */
  command?: string;
};

const KINDS: Record<Kind, string> = {
  plain: "border border-line bg-raised text-fg hover:border-muted",
  primary: "border border-transparent bg-accent text-on-accent hover:brightness-110",
  quiet: "border border-transparent text-muted hover:bg-raised hover:text-fg",
  safety: "border border-safety text-safety hover:bg-safety hover:text-on-safety",
};

export const Button = forwardRef<HTMLButtonElement, ButtonProps>(function Button(
  { kind = "plain", why, command, className, disabled, children, ...rest },
  ref,
) {
  return (
    <button
      ref={ref}
      type="button"
      disabled={disabled || Boolean(why)}
      title={why ?? (command ? `Same as ${command}` : undefined)}
      className={cx(
        "inline-flex h-8 min-w-8 items-center justify-center gap-2 rounded-control px-3 font-medium whitespace-nowrap",
        "disabled:opacity-55 disabled:hover:border-line max-desk:h-11 max-desk:min-w-11",
        KINDS[kind],
        className,
      )}
      {...rest}
    >
      {children}
    </button>
  );
});
