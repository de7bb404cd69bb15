import type { InputHTMLAttributes, ReactNode, SelectHTMLAttributes } from "react";
import { cx } from "./cx";

const CONTROL =
  "h-9 w-full min-w-0 rounded-control border border-line bg-raised px-2 disabled:opacity-50 max-desk:h-11";

type Named = { label: ReactNode; className?: string };
type TextProps = Named &
  Omit<InputHTMLAttributes<HTMLInputElement>, "onChange" | "className" | "value"> & {
    value: string;
    onValue: (value: string) => void;
  };

/** One line of text under its label. */
export function TextField({ label, className, onValue, ...rest }: TextProps) {
  return (
    <Labelled label={label} className={className}>
      <input {...rest} onChange={(event) => onValue(event.target.value)} className={CONTROL} />
    </Labelled>
  );
}

type SelectProps<K extends string> = Named &
  Omit<SelectHTMLAttributes<HTMLSelectElement>, "onChange" | "className" | "value" | "children"> & {
    value: K;
    /** Values with their names, where they have others. */
    of: readonly (K | readonly [K, string])[];
    onValue: (value: K) => void;
  };

/** One of several under its label. */
export function SelectField<K extends string>({ label, className, of, onValue, ...rest }: SelectProps<K>) {
  return (
    <Labelled label={label} className={className}>
      <select {...rest} onChange={(event) => onValue(event.target.value as K)} className={CONTROL}>
        {of.map((one) => {
          const [value, name] = typeof one === "string" ? [one, one] : one;
          return (
            <option key={value} value={value}>
              {name}
            </option>
          );
        })}
      </select>
    </Labelled>
  );
}

function Labelled({
  label,
  className,
  children,
}: {
  label: ReactNode;
  className: string | undefined;
  children: ReactNode;
}) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: its control is its child
    <label className={cx("grid min-w-0 content-start gap-1", className)}>
      <span className="text-meta text-muted">{label}</span>
      {children}
    </label>
  );
}
