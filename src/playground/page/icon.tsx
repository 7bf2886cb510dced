/** Icons as lines, because not every font has them. */
const lines = {
  menu: "M2 4h12M2 8h12M2 12h12",
  fork: "M4 2v12M4 8h5a3 3 0 0 0 3-3V2",
  remove: "M4 4l8 8M12 4l-8 8"
}

export const Icon = ({ name }: { name: keyof typeof lines }) => (
  <svg
    viewBox="0 0 16 16"
    width="14"
    height="14"
    fill="none"
    stroke="currentColor"
    stroke-width="1.6"
    aria-hidden="true"
  >
    <path d={lines[name]} />
  </svg>
)
