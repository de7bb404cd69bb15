import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import Compiled, { type MarkdownToJSX } from "markdown-to-jsx/react";
import { type ComponentProps, createElement, type ReactNode } from "react";
import { artifactQuery } from "@/shared/api/queries";
import { useScope } from "@/shell/scope";
import { besideOf } from "./beside";

type Props = { file: string; text: string };

/** A document as it was meant: HTML in it stays text, its pictures are files beside it, a web address opens elsewhere. */
export default function Markdown({ file, text }: Props) {
  const options: MarkdownToJSX.Options = {
    disableParsingRawHTML: true,
    disableFrontmatter: true,
    forceBlock: true,
    wrapper: null,
    createElement, // it would make React's own objects itself, of which Preact shows nothing
    slugify: (said, slug) => `in-file-${slug(said)}`,
    overrides: {
      ...HEADINGS,
      a: { component: Away, props: { file } },
      img: { component: Picture, props: { file } },
      table: Wide,
      input: Box,
    },
  };
  return (
    <div className="document max-w-[100ch]">
      <article>
        <Compiled options={options}>{text}</Compiled>
      </article>
    </div>
  );
}

/** The page and its panel have the first two levels. */
const HEADINGS = Object.fromEntries(
  ["h3", "h4", "h5", "h6", "h6", "h6"].map((component, n) => [`h${n + 1}`, { component }]),
);

type Linked = { file: string; href?: string; children?: ReactNode };

function Away({ file, href, children }: Linked) {
  const beside = besideOf(file, href);
  if (beside !== null) {
    return (
      <Link to="/artifacts/$" params={{ _splat: beside }} className="text-accent underline">
        {children}
      </Link>
    );
  }
  if (!href || !/^(https?:|mailto:|#)/i.test(href)) return <>{children}</>;
  return (
    <a
      href={href}
      rel="noreferrer"
      target={href.startsWith("#") ? undefined : "_blank"}
      className="text-accent underline"
    >
      {children}
    </a>
  );
}

/** A picture beside the document, with the rights of whoever looks; one from elsewhere is not fetched. */
function Picture({ file, src, alt = "" }: { file: string; src?: string; alt?: string }) {
  const beside = besideOf(file, src);
  const named = alt || "A picture";
  if (beside === null) return <span className="text-muted">{named}: not beside the document, so not shown.</span>;
  return <Beside file={beside} named={named} />;
}

function Beside({ file, named }: { file: string; named: string }) {
  const { firm } = useScope();
  const { data, isError } = useQuery(artifactQuery(firm, file));
  if (isError) return <span className="text-muted">{named}: there is no such file, or not for you.</span>;
  if (!data) return <span className="block h-60" />;
  if (data.picture_base64 === null) return <span className="text-muted">{named}: too large to be shown here.</span>;
  return (
    <img
      alt={named}
      src={`data:${data.artifact.media_type};base64,${data.picture_base64}`}
      className="max-w-full rounded-control"
    />
  );
}

function Wide(props: ComponentProps<"table">) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would be a form, a section a landmark
    <div className="overflow-x-auto" tabIndex={0} role="group" aria-label="Table">
      <table {...props} />
    </div>
  );
}

/** A task: done or not, in a mark and in a word. */
function Box({ checked }: { checked?: boolean }) {
  return (
    <>
      <span aria-hidden="true">{checked ? "☑" : "☐"}</span>
      <span className="sr-only">{checked ? "done: " : "to do: "}</span>
    </>
  );
}
