import { cx } from "@/shared/ui/cx";

type Props<T extends string> = {
  name: string;
  options: readonly { value: T; text: string; hint?: string }[];
  value: T;
  onChange: (value: T) => void;
};

/** One of a few ways to look at the same thing. */
export function Choice<T extends string>({ name, options, value, onChange }: Props<T>) {
  return (
    <fieldset className="flex flex-wrap gap-1">
      <legend className="sr-only">{name}</legend>
      {options.map((one) => (
        <button
          key={one.value}
          type="button"
          aria-pressed={one.value === value}
          onClick={() => onChange(one.value)}
          className={cx(
            "inline-flex h-7 min-w-7 items-center justify-center gap-1 rounded-control px-2 max-desk:h-11 max-desk:min-w-11",
            one.value === value ? "bg-raised font-medium" : "text-muted hover:text-fg",
          )}
        >
          {one.text}
          {one.hint ? (
            <kbd aria-hidden className="text-label text-muted max-desk:hidden">
              {one.hint}
            </kbd>
          ) : null}
        </button>
      ))}
    </fieldset>
  );
}
