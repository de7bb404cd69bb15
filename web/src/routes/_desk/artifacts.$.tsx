import { useMutation, useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { lazy, Suspense } from "react";
import { answered, api, type Schemas } from "@/shared/api/client";
import { artifactQuery } from "@/shared/api/queries";
import { money } from "@/shared/format/numbers";
import { Button } from "@/shared/ui/Button";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { useScope } from "@/shell/scope";

const Markdown = lazy(() => import("@/features/Markdown"));

export const Route = createFileRoute("/_desk/artifacts/$")({ component: OneFile });

function OneFile() {
  const { _splat: file = "" } = Route.useParams();
  const { firm } = useScope();
  const query = useQuery(artifactQuery(firm, file));
  const checksum = useMutation({
    mutationFn: () =>
      answered(
        api.GET("/api/v1/firms/{firm}/artifacts/checksum", { params: { path: { firm }, query: { path: file } } }),
      ),
  });
  const download = `/api/v1/firms/${encodeURIComponent(firm)}/artifacts/download?path=${encodeURIComponent(file)}`;
  return (
    <Page
      title={file.split("/").at(-1) ?? file}
      aside={
        <span className="flex flex-wrap items-center gap-3">
          {file.startsWith("runs/") ? (
            <Link to="/runs/$id" params={{ id: file.split("/")[1] ?? "" }} className="text-muted hover:text-fg">
              Its run
            </Link>
          ) : null}
          <Button onClick={() => checksum.mutate()}>Checksum</Button>
          <a
            href={download}
            download
            className="inline-flex h-8 items-center rounded-control border border-line bg-raised px-3 max-desk:h-11"
          >
            Download
          </a>
        </span>
      }
    >
      <Loaded query={query} height={400}>
        {(found) => (
          <Panel
            title={found.artifact.path}
            aside={
              <span className="text-meta text-muted">
                {money(found.artifact.size_bytes)} bytes, <Time at={found.artifact.modified_at} />
              </span>
            }
          >
            {checksum.data ? <p className="pb-2 font-mono text-meta break-all">sha256 {checksum.data.sha256}</p> : null}
            {checksum.isError ? <p role="alert">{checksum.error.message}</p> : null}
            <Shown found={found} />
            {found.truncated ? <p className="pt-2 text-muted">This is its beginning; the download is whole.</p> : null}
          </Panel>
        )}
      </Loaded>
    </Page>
  );
}

function Shown({ found }: { found: Schemas["Preview"] }) {
  if (found.artifact.kind === "html" && found.text !== null) return <Report found={found} html={found.text} />;
  if (found.picture_base64 !== null) {
    return (
      <img
        alt={found.artifact.name}
        src={`data:${found.artifact.media_type};base64,${found.picture_base64}`}
        className="max-w-full"
      />
    );
  }
  if (found.table !== null) return <Rows table={found.table} />;
  if (found.artifact.kind === "markdown" && found.text !== null) {
    return (
      <Suspense fallback={<Text name={found.artifact.name} text={found.text} />}>
        <Markdown file={found.artifact.path} text={found.text} />
        <details className="pt-3">
          <summary className="cursor-pointer text-muted max-desk:py-3">As text</summary>
          <Text name={found.artifact.name} text={found.text} />
        </details>
      </Suspense>
    );
  }
  if (found.text !== null) return <Text name={found.artifact.name} text={found.text} />;
  if (found.json_value !== null && found.json_value !== undefined) {
    return <Text name={found.artifact.name} text={JSON.stringify(found.json_value, null, 2)} />;
  }
  return <p className="text-muted">A file of this kind is not shown here; the download has it.</p>;
}

function Text({ name, text }: { name: string; text: string }) {
  return (
    <pre
      className="max-h-[70dvh] overflow-auto font-mono text-meta break-words whitespace-pre-wrap"
      tabIndex={0}
      role="document"
      aria-label={name}
    >
      {text}
    </pre>
  );
}

/** A report in a frame of its own: without scripts, without our origin, under the policy of this page. */
function Report({ found, html }: { found: Schemas["Preview"]; html: string }) {
  return (
    <iframe
      title={`${found.artifact.name} of ${found.artifact.run_id}`}
      sandbox=""
      srcDoc={html}
      referrerPolicy="no-referrer"
      className="h-[75dvh] w-full rounded-control border border-line bg-[#ffffff]"
    />
  );
}

function Rows({ table }: { table: Schemas["Table"] }) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would be a form, a section a landmark
    <div className="max-h-[70dvh] overflow-auto" tabIndex={0} role="group" aria-label="Rows">
      <table className="border-collapse text-meta">
        <thead>
          <tr>
            {table.columns.map((one) => (
              <th
                key={one.name}
                scope="col"
                className="sticky top-0 bg-surface pr-4 text-left whitespace-nowrap text-muted"
              >
                {one.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {table.rows.map((row, n) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: rows of a file never change places
            <tr key={n} className="border-t border-line/60">
              {row.map((value, column) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: neither do its columns
                <td key={column} className="max-w-96 truncate pr-4 whitespace-nowrap">
                  {value === null ? (
                    <span className="text-muted">null</span>
                  ) : typeof value === "object" ? (
                    JSON.stringify(value)
                  ) : (
                    String(value)
                  )}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      <p className="pt-2 text-muted">
        {table.rows.length} rows shown{table.total_rows !== null ? ` of ${money(table.total_rows)}` : ""}.
      </p>
    </div>
  );
}
