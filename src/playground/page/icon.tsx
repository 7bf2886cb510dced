/** Icons as lines, because not every font has them. */
const lines = {
  menu: "M2 4h12M2 8h12M2 12h12",
  fork: "M4 2v12M4 8h5a3 3 0 0 0 3-3V2",
  remove: "M4 4l8 8M12 4l-8 8",
  edit: "M3 13l1-3 7-7 2 2-7 7zM9 5l2 2",
  again: "M13 8a5 5 0 1 1-1.5-3.5L13 6M13 2.5V6H9.5"
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
