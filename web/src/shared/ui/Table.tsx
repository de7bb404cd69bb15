import type { ReactNode } from "react";
import { cx } from "./cx";

export type Column<T> = {
  name: string;
  cell: (row: T) => ReactNode;
  right?: boolean;
  /** Left out where there is no room. */
  wide?: boolean;
  width?: string;
};

type Props<T> = {
  label: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
  keyOf: (row: T) => string;
  dense?: boolean;
};

export function Table<T>({ label, columns, rows, keyOf, dense }: Props<T>) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would be a form, a section a landmark
    <div className="-mx-4 overflow-x-auto px-4" tabIndex={0} role="group" aria-label={label}>
      <table className="w-full border-collapse">
        <caption className="sr-only">{label}</caption>
        <Head columns={columns} />
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)} className="border-b border-line/60 last:border-0 hover:bg-raised/50">
              {columns.map((one) => (
                <td
                  key={one.name}
                  className={cx(
                    "pr-4 align-middle last:pr-0",
                    dense ? "h-(--row)" : "h-[calc(var(--row)+4px)] max-desk:h-11",
                    one.right && "text-right",
                    one.wide && "max-desk:hidden",
                  )}
                >
                  {one.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The names of the columns; `sticky` where the rows scroll under them. */
export function Head<T>({ columns, sticky = false }: { columns: readonly Column<T>[]; sticky?: boolean }) {
  return (
    <thead>
      <tr aria-rowindex={sticky ? 1 : undefined}>
        {columns.map((one) => (
          <th
            key={one.name}
            scope="col"
            style={one.width ? { width: one.width } : undefined}
            className={cx(
              "h-8 border-b border-line pr-4 text-label font-medium whitespace-nowrap text-muted last:pr-0",
              one.right ? "text-right" : "text-left",
              one.wide && "max-desk:hidden",
              sticky && "sticky top-0 bg-surface",
            )}
          >
            {one.name}
          </th>
        ))}
      </tr>
    </thead>
  );
}
