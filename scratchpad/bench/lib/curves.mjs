export const curves = async () => []
